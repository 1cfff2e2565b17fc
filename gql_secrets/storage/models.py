"""The tables. Each model states the rules of its table; the migrations enforce the same rules in SQL."""

from datetime import datetime
from typing import TYPE_CHECKING

from tortoise import fields
from tortoise.fields import OnDelete
from tortoise.indexes import Index
from tortoise.migrations.constraints import CheckConstraint
from tortoise.models import Model

from gql_secrets.storage.fields import InstantField
from gql_secrets.storage.tables import Table

MAX_FOLDED = 200
MAX_ACTOR = 512


class Installation(Model, metaclass=Table):
    """The one row (id 1) that every change locks after its client's row: the revision, and the head of the audit chain.

    `audit_mac` is a MAC over revision and head under a key derived from the pepper key `audit_key_id`, so that somebody
    who edits the database alone cannot cut off the end of the audit log unnoticed. It is empty while the head is
    unsigned: after changes that ended something on a head whose signature was not valid.

    `uncertain_clients` is not NONE while a database that went back in time has not been accepted: NAMED for the clients
    of the `LostChange` rows, or ALL.

    `changes_pause` is not NONE while changes are paused for a copy (`domain/changes_pause.py`). `pause_id` names the
    copy, in both databases; COPYING lasts until `paused_until`, which the copy moves on.
    """

    id = fields.IntField(primary_key=True, generated=False)
    revision = fields.BigIntField()
    audit_head = fields.BinaryField()
    audit_mac = fields.BinaryField()
    audit_key_id = fields.CharField(max_length=32)
    created_at: datetime = InstantField()
    uncertain_clients = fields.CharField(max_length=8, db_default="NONE")
    changes_pause = fields.CharField(max_length=8, db_default="NONE")
    pause_id = fields.CharField(max_length=32, null=True)
    paused_until: datetime | None = InstantField(null=True)

    class Meta:
        table = "installation"
        constraints = (CheckConstraint("id = 1", "installation_one_row"),)


class PepperFingerprint(Model, metaclass=Table):
    """A pepper key that digested secrets in this database; the key itself is never stored.

    `migration_began_at` is when secrets began to be moved to it; those are moved to the key where it is the latest.
    """

    key_id = fields.CharField(max_length=32, primary_key=True)
    fingerprint = fields.BinaryField()
    created_at: datetime = InstantField()
    migration_began_at: datetime | None = InstantField(null=True)

    class Meta:
        table = "pepper_fingerprint"


class Client(Model, metaclass=Table):
    """An application. Deleting it leaves the row as a tombstone (`deleted_at`): ids are never reused.

    `maximum_age_days` is the client's own maximum age of a current secret; null where it inherits the installation's.
    `is_restricted` says that `ClientNetwork` rows are the whole allow list; without it every address is allowed.
    `self_reset` is the right of the client to reset its own secret.
    """

    client_id = fields.CharField(max_length=128, primary_key=True)
    client_id_folded = fields.CharField(max_length=MAX_FOLDED)
    name = fields.CharField(max_length=200)
    name_folded = fields.CharField(max_length=MAX_FOLDED)
    description: str | None = fields.TextField(null=True)
    enabled = fields.BooleanField(default=True)
    is_restricted = fields.BooleanField(default=False)
    self_reset = fields.BooleanField(db_default=False)
    contact = fields.CharField(max_length=200, null=True)
    maximum_age_days: int | None = fields.IntField(null=True)
    generation = fields.BigIntField(default=0)
    created_at: datetime = InstantField()
    deleted_at: datetime | None = InstantField(null=True)

    if TYPE_CHECKING:
        secrets: fields.ReverseRelation["ClientSecret"]
        features: fields.ReverseRelation["ClientFeature"]
        networks: fields.ReverseRelation["ClientNetwork"]
        labels: fields.ReverseRelation["ClientLabel"]

    class Meta:
        table = "client"


class ClientListing(Model, metaclass=Table):
    """What lists search and sort a client by. A deleted client has none.

    A table of its own, because uses write it: they lock no row that a change waits for. `search_text` is that of
    `domain/search.py`; on SQLite, triggers keep the index of its trigrams (`client_search`) in step. `last_used_at` is
    in microseconds, and 0 while no secret of the client was ever used; after the first use of a secret it is written
    at most once an hour.
    """

    id = fields.BigIntField(primary_key=True)
    client_id = fields.CharField(max_length=128, unique=True)
    search_text = fields.TextField()
    last_used_at = fields.BigIntField(default=0)

    class Meta:
        table = "client_listing"


class ClientFeature(Model, metaclass=Table):
    """One feature of one client."""

    id = fields.BigIntField(primary_key=True)
    client: fields.ForeignKeyRelation[Client] = fields.ForeignKeyField(
        "models.Client", related_name="features", on_delete=OnDelete.RESTRICT
    )
    feature = fields.CharField(max_length=32, db_index=True)

    if TYPE_CHECKING:
        client_id: str

    class Meta:
        table = "client_feature"
        unique_together = (("client_id", "feature"),)


class ClientNetwork(Model, metaclass=Table):
    """One network of a restricted client's allow list, in the order given."""

    id = fields.BigIntField(primary_key=True)
    client: fields.ForeignKeyRelation[Client] = fields.ForeignKeyField(
        "models.Client", related_name="networks", on_delete=OnDelete.RESTRICT
    )
    position = fields.IntField()
    network = fields.CharField(max_length=64)

    if TYPE_CHECKING:
        client_id: str

    class Meta:
        table = "client_network"
        unique_together = (("client_id", "position"),)


class ClientLabel(Model, metaclass=Table):
    """One label of one client."""

    id = fields.BigIntField(primary_key=True)
    client: fields.ForeignKeyRelation[Client] = fields.ForeignKeyField(
        "models.Client", related_name="labels", on_delete=OnDelete.RESTRICT
    )
    key = fields.CharField(max_length=63)
    value = fields.CharField(max_length=63)

    if TYPE_CHECKING:
        client_id: str

    class Meta:
        table = "client_label"
        unique_together = (("client_id", "key"),)
        indexes = (Index(fields=("key", "value")),)


class ClientSecret(Model, metaclass=Table):
    """One secret of one client. Rows are never deleted, and a secret that ended stays ended.

    Partial unique indexes enforce rule 1: at most one CURRENT and one RETAINED per client. `digest` is unique, so a
    secret that a client once had cannot be imported again.
    """

    id = fields.BigIntField(primary_key=True)
    client: fields.ForeignKeyRelation[Client] = fields.ForeignKeyField(
        "models.Client", related_name="secrets", on_delete=OnDelete.RESTRICT
    )
    digest = fields.BinaryField()
    pepper_key_id = fields.CharField(max_length=32)
    hint = fields.CharField(max_length=4)
    is_weak = fields.BooleanField(default=False)
    state = fields.CharField(max_length=8)
    created_at: datetime = InstantField()
    created_by = fields.CharField(max_length=MAX_ACTOR)
    created_by_name = fields.CharField(max_length=200, null=True)
    replaced_at: datetime | None = InstantField(null=True)
    expires_at: datetime | None = InstantField(null=True)
    ended_at: datetime | None = InstantField(null=True)
    end_reason = fields.CharField(max_length=16, null=True)
    first_used_at: datetime | None = InstantField(null=True)
    # The last use and both counts exclude what `secret_use` holds: `storage/usage.py` computes the totals.
    last_used_at: datetime | None = InstantField(null=True)
    use_count = fields.BigIntField(default=0)
    refused_attempts = fields.BigIntField(default=0)
    last_refused_at: datetime | None = InstantField(null=True)

    if TYPE_CHECKING:
        client_id: str

    class Meta:
        table = "client_secret"
        constraints = (
            CheckConstraint("state IN ('CURRENT', 'RETAINED', 'EXPIRED', 'REVOKED')", "client_secret_state"),
            CheckConstraint(
                "(state IN ('EXPIRED', 'REVOKED')) = (ended_at IS NOT NULL AND end_reason IS NOT NULL)",
                "client_secret_ended",
            ),
            CheckConstraint("(state = 'EXPIRED') = (coalesce(end_reason, '') = 'EXPIRED')", "client_secret_expired"),
            CheckConstraint(
                "state <> 'CURRENT' OR (replaced_at IS NULL AND expires_at IS NULL)", "client_secret_current"
            ),
            CheckConstraint(
                "state <> 'RETAINED' OR (replaced_at IS NOT NULL AND expires_at IS NOT NULL)", "client_secret_retained"
            ),
            CheckConstraint("expires_at <= replaced_at + 604800000000", "client_secret_seven_days"),
            CheckConstraint("length(digest) = 32", "client_secret_digest_length"),
        )
        indexes = (Index(fields=("client_id", "id")),)


class AuditEvent(Model, metaclass=Table):
    """What one change did. One revision, one event: the revision is the key, and `hash` chains it to the one before.

    `format` says how the event was written and hashed (`domain/audit.py`). In format 1, `ended_secret_ids` and
    `reason` hold what now has a row or a column of its own; only the events of that format fill `ended_secret_ids`.
    `edited_fields` lists names separated by commas.
    """

    revision = fields.BigIntField(primary_key=True, generated=False)
    at: datetime = InstantField()
    action = fields.CharField(max_length=32)
    actor = fields.CharField(max_length=MAX_ACTOR)
    actor_kind = fields.CharField(max_length=16)
    surface = fields.CharField(max_length=16)
    request_id = fields.CharField(max_length=64, null=True)
    address = fields.CharField(max_length=64, null=True)
    client_id = fields.CharField(max_length=128, null=True)
    generation_before: int | None = fields.BigIntField(null=True)
    generation_after: int | None = fields.BigIntField(null=True)
    secret_id: int | None = fields.BigIntField(null=True)
    ended_secret_ids = fields.CharField(max_length=64, default="")
    hours_to_live: int | None = fields.IntField(null=True)
    expires_at: datetime | None = InstantField(null=True)
    reason: str | None = fields.TextField(null=True)
    hash = fields.BinaryField()
    format = fields.IntField(db_default=1)
    edited_fields = fields.CharField(max_length=200, null=True)
    clamped = fields.BooleanField(db_default=False)
    weak_secret = fields.BooleanField(db_default=False)
    accepted = fields.CharField(max_length=64, null=True)
    actor_name = fields.CharField(max_length=200, null=True)
    link_number: int | None = fields.BigIntField(null=True)
    session_number: int | None = fields.BigIntField(null=True)
    person_name = fields.CharField(max_length=200, null=True)
    person_role = fields.CharField(max_length=16, null=True)
    session_end_reason = fields.CharField(max_length=16, null=True)
    webhook_number: int | None = fields.BigIntField(null=True)
    pepper_key_id = fields.CharField(max_length=32, null=True)

    if TYPE_CHECKING:
        ended_secrets: fields.ReverseRelation["AuditEndedSecret"]

    class Meta:
        table = "audit_event"
        indexes = (
            Index(fields=("client_id", "revision")),
            Index(fields=("actor", "revision")),
            Index(fields=("action", "revision")),
            Index(fields=("surface", "revision")),
            Index(fields=("at",)),
            Index(fields=("client_id", "action", "revision")),
            Index(fields=("actor", "action", "revision")),
        )


class AuditEndedSecret(Model, metaclass=Table):
    """A secret that an audited change ended, with its reason and the state it had before.

    The event's hash covers these rows. A unique index ensures that an event names a secret once.
    """

    id = fields.BigIntField(primary_key=True)
    event: fields.ForeignKeyRelation[AuditEvent] = fields.ForeignKeyField(
        "models.AuditEvent", related_name="ended_secrets", on_delete=OnDelete.RESTRICT
    )
    secret_id = fields.BigIntField()
    reason = fields.CharField(max_length=16)
    state_before = fields.CharField(max_length=8)

    if TYPE_CHECKING:
        event_id: int

    class Meta:
        table = "audit_ended_secret"


class IdempotentReset(Model, metaclass=Table):
    """What a replay needs: not the secret, but the nonce that derives it again with the pepper.

    It is kept for ten minutes, and that of a self-reset until the new secret is first used or the old one ends.
    """

    id = fields.BigIntField(primary_key=True)
    actor = fields.CharField(max_length=MAX_ACTOR)
    key_hash = fields.BinaryField()
    arguments_hash = fields.BinaryField()
    nonce = fields.BinaryField()
    pepper_key_id = fields.CharField(max_length=32)
    secret: fields.ForeignKeyRelation[ClientSecret] = fields.ForeignKeyField(
        "models.ClientSecret", related_name="idempotent_resets", on_delete=OnDelete.RESTRICT
    )
    created_at: datetime = InstantField(db_index=True)
    is_self_reset = fields.BooleanField(db_default=False)

    if TYPE_CHECKING:
        secret_id: int

    class Meta:
        table = "idempotent_reset"
        unique_together = (("actor", "key_hash"),)


class SignInLink(Model, metaclass=Table):
    """A link that signs a person in, once (`spent_at`) and for a short time. Only the digest of its token is stored.

    Its id is the number of the link, which identifies the person who signs in with it; an id is never used again.
    `maker_secret_id` is the secret whose holder created the link, or that the sessions in between came from;
    `maker_session_id` is the session of the person who created it. The command line has neither.
    """

    id = fields.BigIntField(primary_key=True)
    digest = fields.BinaryField()
    name = fields.CharField(max_length=100)
    role = fields.CharField(max_length=16)
    created_at: datetime = InstantField()
    expires_at: datetime = InstantField()
    spent_at: datetime | None = InstantField(null=True)
    voided_at: datetime | None = InstantField(null=True)
    created_by = fields.CharField(max_length=MAX_ACTOR, null=True)
    created_by_name = fields.CharField(max_length=200, null=True)
    maker_secret_id: int | None = fields.BigIntField(null=True)
    maker_session_id: int | None = fields.BigIntField(null=True)

    class Meta:
        table = "sign_in_link"
        constraints = (CheckConstraint("role IN ('ADMIN', 'OPERATOR', 'VIEWER')", "sign_in_link_role"),)
        indexes = (Index(fields=("expires_at",)),)


class Session(Model, metaclass=Table):
    """A person who signed in with a browser. Only the digest of the cookie's value is stored.

    It began with a sign-in link (`link_number`; the makers are those of the link) or at an identity provider (`issuer`,
    `subject`, and `provider_session`, its `sid`). A session with neither is of an earlier version, and not valid.
    `tokens` are the provider's, encrypted under the pepper key `tokens_key_id`; without them the role cannot be looked
    at again. `looked_at` is when the provider last confirmed the role, `look_failed_at` when it last did not answer,
    and `look_claimed_until` keeps a second node from using the tokens at the same time. `state_digest` is unique: one
    authorization begins one session. Rows are deleted some time after the session ended.
    """

    id = fields.BigIntField(primary_key=True)
    digest = fields.BinaryField()
    name = fields.CharField(max_length=200)
    role = fields.CharField(max_length=16)
    created_at: datetime = InstantField()
    last_seen_at: datetime = InstantField()
    ended_at: datetime | None = InstantField(null=True)
    link_number: int | None = fields.BigIntField(null=True)
    address = fields.CharField(max_length=64, null=True)
    maker_secret_id: int | None = fields.BigIntField(null=True)
    maker_session_id: int | None = fields.BigIntField(null=True)
    issuer = fields.CharField(max_length=250, null=True)
    subject = fields.CharField(max_length=255, null=True)
    provider_session = fields.CharField(max_length=255, null=True)
    tokens: bytes | None = fields.BinaryField(null=True)
    tokens_key_id = fields.CharField(max_length=32, null=True)
    looked_at: datetime | None = InstantField(null=True)
    look_failed_at: datetime | None = InstantField(null=True)
    look_claimed_until: datetime | None = InstantField(null=True)
    state_digest: bytes | None = fields.BinaryField(null=True)

    class Meta:
        table = "session"
        constraints = (CheckConstraint("role IN ('ADMIN', 'OPERATOR', 'VIEWER')", "session_role"),)
        indexes = (Index(fields=("created_at",)),)


class ProviderLogOut(Model, metaclass=Table):
    """A log-out that an identity provider sent: of a person (`subject`), of a session there, or of both."""

    id = fields.BigIntField(primary_key=True)
    issuer = fields.CharField(max_length=250)
    subject = fields.CharField(max_length=255, null=True)
    provider_session = fields.CharField(max_length=255, null=True)
    received_at: datetime = InstantField()

    class Meta:
        table = "provider_log_out"
