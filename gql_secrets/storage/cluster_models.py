"""The tables of the nodes that run on one database, and of what their journals know and it does not."""

from datetime import datetime

from tortoise import fields
from tortoise.models import Model

from gql_secrets.storage.fields import InstantField
from gql_secrets.storage.tables import Table


class Cluster(Model, metaclass=Table):
    """The one row (id 1) that says which server the leases were given on, so that a failover is noticed.

    `server` names it by its start and its timeline. It is empty before the first node joined.
    """

    id = fields.IntField(primary_key=True, generated=False)
    server = fields.CharField(max_length=100)

    class Meta:
        table = "cluster"


class ClusterMember(Model, metaclass=Table):
    """A node on PostgreSQL, by a random id of its process.

    An acknowledgement waits for each member that verifies from memory (`serves_from`) until `applied_revision` reaches
    the change's. `poll` is a random number that each poll replaces: a row that has had the same one for a whole lease
    is of a node that has none, and is deleted. `pepper_keys` are the ids of its keys, separated by commas.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    version = fields.CharField(max_length=40)
    serves_from = fields.CharField(max_length=16)
    started_at: datetime = InstantField()
    last_seen_at: datetime = InstantField()
    applied_revision = fields.BigIntField()
    poll = fields.BigIntField()
    pepper_keys = fields.TextField(null=True)

    class Meta:
        table = "cluster_member"


class LostChange(Model, metaclass=Table):
    """A change that the journal of a node has and the database lost, by its hash in hexadecimal.

    `content` is the change as a line of the journal. `accepted` rows stay: the journals of other nodes have them too.
    """

    hash = fields.CharField(max_length=64, primary_key=True)
    revision = fields.BigIntField()
    client_id = fields.CharField(max_length=128, null=True, db_index=True)
    content = fields.TextField()
    accepted = fields.BooleanField(db_default=False)

    class Meta:
        table = "lost_change"


class AuditArchiveState(Model, metaclass=Table):
    """The one row (id 1) that says which node moves audit events to the archive, and until when.

    `failed_at` is when the last try failed; null after one that did not.
    """

    id = fields.IntField(primary_key=True, generated=False)
    holder = fields.CharField(max_length=64)
    expires_at: datetime = InstantField()
    failed_at: datetime | None = InstantField(null=True)

    class Meta:
        table = "audit_archive"
