"""What verification reads from a database, and the decoys that make every refusal cost the same."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

from gql_secrets.storage.secret_index.stored_secret import StoredSecret

# Decoy reads: digests of secrets that exist, in turn, and one of no secret.
DECOY_DIGESTS: Final = "SELECT digest FROM client_secret ORDER BY id LIMIT 64"
NO_DIGEST: Final = bytes(32)


class Lookup(Protocol):
    """Finds the secret that has one of these digests."""

    async def find(
        self, client_id: str, digests: Sequence[bytes], *, deadline: float | None = None
    ) -> tuple[StoredSecret | None, datetime]:
        """Return the secret that the database has, or None, and the database's clock at that moment.

        The client id is the one that the digests were made with. It takes 0.8 seconds at most, and no longer than until
        `deadline`, an instant of the event loop's clock.

        Raises:
            PepperKeyMissing: it was not found, and may be under a key of the pepper that this process lacks.
            Unavailable: the database does not answer.
        """

    def find_nowait(self, client_id: str, digests: Sequence[bytes]) -> tuple[StoredSecret | None, datetime] | None:
        """Return the result of `find` without awaiting, or None where that is not possible.

        The answer is true for the moment at which the view last expired, or later.

        Raises:
            Unavailable: the database does not answer.
        """

    def is_current(self) -> bool:
        """Return whether what `find_nowait` returned just now may be answered: ask right before."""
        ...

    def expire_view(self) -> None:
        """Let the next `find_nowait` look at the database again.

        Call it each time data arrives that may contain requests. Until the next call all of them may be answered from
        one view, which is at least as new as the request that arrived last.
        """

    def forget_client(self, client_id: str) -> None:
        """Forget every secret of this client, regardless of the digest that each is remembered by."""

    async def read_ahead(self) -> float:
        """Read some of the secrets into memory; return after how many seconds to continue.

        Raises:
            Unavailable: the database does not answer.
        """

    async def close(self) -> None:
        """Close the connections."""
