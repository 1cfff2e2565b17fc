"""The secrets that verification keeps in memory. The cache reads no database; its owner reports what changed."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from gql_secrets.domain.rotation import SecretState
from gql_secrets.storage.secret_index.stored_secret import StoredSecret

# Under 300 bytes each, so 900 megabytes at most: two dictionary entries, a digest, a client id, and a number.
MAX_REMEMBERED: Final = 3_000_000


class _Retained(NamedTuple):
    secret_id: int
    expires_at: datetime


# Most secrets are remembered in a short form: the id of a current secret, or id and end of a retained one. Only those
# of clients with an allow list, features or the right to reset themselves are remembered as a whole.
_Remembered = int | _Retained | StoredSecret


class SecretCache:
    """Valid secrets that have been used, found by digest and forgotten by client.

    A client's digests are those under which its secrets are remembered, which need not be what the database has now: a
    secret whose digest was changed there is forgotten with its client all the same.
    """

    __slots__ = ("_by_digest", "_of_client")

    def __init__(self) -> None:
        self._by_digest: dict[bytes, _Remembered] = {}
        # A client has at most two valid secrets, so mostly one digest.
        self._of_client: dict[str, bytes | tuple[bytes, ...]] = {}

    def __len__(self) -> int:
        return len(self._by_digest)

    def find(self, client_id: str, digest: bytes) -> StoredSecret | None:
        """Return the secret with this digest, which was made with this client id, if it is remembered."""
        remembered = self._by_digest.get(digest)
        if remembered is None:
            return None
        if isinstance(remembered, int):
            return StoredSecret(remembered, client_id, SecretState.CURRENT, None, True, True, None, (), False, digest)
        if isinstance(remembered, StoredSecret):
            return remembered
        return StoredSecret(
            remembered.secret_id,
            client_id,
            SecretState.RETAINED,
            remembered.expires_at,
            True,
            True,
            None,
            (),
            False,
            digest,
        )

    def remember(self, digest: bytes, secret: StoredSecret) -> None:
        """Remember a valid secret, if it has been used and there is room.

        Before its first use every verification must read it again. Room comes back as secrets end.
        """
        if not secret.was_used or len(self._by_digest) >= MAX_REMEMBERED:
            return
        secret_id, client_id = secret.secret_id, secret.client_id
        is_new = digest not in self._by_digest
        if secret.allow_list is not None or secret.features or secret.self_reset:
            self._by_digest[digest] = secret
        elif secret.expires_at is not None:
            self._by_digest[digest] = _Retained(secret_id, secret.expires_at)
        else:
            self._by_digest[digest] = secret_id
        if is_new:
            digests = self._digests_of(client_id)
            self._of_client[client_id] = (*digests, digest) if digests else digest

    def forget_client(self, client_id: str) -> None:
        """Forget every secret of this client."""
        for digest in self._digests_of(client_id):
            self._by_digest.pop(digest, None)
        self._of_client.pop(client_id, None)

    def forget_clients(self, client_ids: Iterable[str]) -> None:
        """Forget every secret of these clients."""
        for client_id in client_ids:
            self.forget_client(client_id)

    def clear(self) -> None:
        """Forget every secret."""
        self._by_digest, self._of_client = {}, {}

    def _digests_of(self, client_id: str) -> tuple[bytes, ...]:
        digests = self._of_client.get(client_id, ())
        return (digests,) if isinstance(digests, bytes) else digests
