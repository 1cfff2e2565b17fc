"""How many connections there may be, what each may take, and which one is closed when there are too many."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Generic, TypeVar

# Files that the process needs in addition to its connections: the database, the log, the listening sockets.
_OTHER_FILES: Final = 200
# How many busy connections of one address are passed over in search of an idle one.
_MAX_PASSED_OVER: Final = 64


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a connection may take, and how many there may be."""

    head_seconds: float = 10.0
    """From a head's first byte, or from the start of the connection, to the end of the head."""
    body_seconds: float = 30.0
    """From the end of a head to the end of its body."""
    idle_seconds: float = 75.0
    """Between a response and the next request: longer than gateways keep their connections."""
    unread_seconds: float = 60.0
    """How long the peer may leave a response unread (where the system can tell, as Linux can)."""
    linger_seconds: float = 5.0
    """How long the rest of a body is read and discarded after the response."""
    head_bytes: int = 32 * 1024
    """Bytes of a head that arrives in pieces."""
    line_bytes: int = 8 * 1024
    """Bytes of a request line, or of one field."""
    fields: int = 100
    """Fields of a head."""
    connections: int = 20_000
    """Connections of one process; fewer where the system allows fewer open files."""


ConnectionT = TypeVar("ConnectionT")


@dataclass(eq=False, slots=True)
class AddressShare(Generic[ConnectionT]):
    """The connections of one address; each is in one of the two dictionaries, in order of age.

    Attributes:
        pool: the pool that the share belongs to.
        address: the address (of IPv6, the /64).
        unfinished: connections that owe a request head, the oldest first.
        others: the others, those without a request for the longest time first.
    """

    pool: "ConnectionPool[ConnectionT]"
    address: str
    unfinished: dict[ConnectionT, None] = field(default_factory=dict)
    others: dict[ConnectionT, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.unfinished) + len(self.others)

    def __contains__(self, connection: ConnectionT) -> bool:
        return connection in self.unfinished or connection in self.others

    def head_began(self, connection: ConnectionT) -> None:
        """Note that the connection owes the rest of a head."""
        if self.others.pop(connection, False) is None:
            self.unfinished[connection] = None

    def head_arrived(self, connection: ConnectionT) -> None:
        """Note that a request arrived."""
        if self.unfinished.pop(connection, False) is None or self.others.pop(connection, False) is None:
            self.others[connection] = None


class ConnectionPool(Generic[ConnectionT]):
    """Connections by address, and which address has the most."""

    def __init__(self) -> None:
        """Make an empty pool."""
        self._shares: dict[str, AddressShare[ConnectionT]] = {}
        # By number of connections: finding the largest share takes the same time however many addresses there are.
        self._by_size: dict[int, dict[AddressShare[ConnectionT], None]] = {}
        self._max_size = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, connection: ConnectionT, address: str, *, owes_head: bool) -> AddressShare[ConnectionT]:
        """Add a connection, and return the share of its address."""
        share = self._shares.get(address)
        if share is None:
            share = self._shares[address] = AddressShare(self, address)
        self._resize(share, 1)
        (share.unfinished if owes_head else share.others)[connection] = None
        return share

    def remove(self, connection: ConnectionT, share: AddressShare[ConnectionT]) -> None:
        """Remove a connection, if it is still there."""
        if connection in share:
            self._resize(share, -1)
            share.unfinished.pop(connection, None)
            share.others.pop(connection, None)
            if not share:
                del self._shares[share.address]

    def largest_shares(self) -> Iterable[AddressShare[ConnectionT]]:
        """Return the shares of the addresses with the most connections: several where several have as many."""
        return self._by_size.get(self._max_size, ())

    def _resize(self, share: AddressShare[ConnectionT], by: int) -> None:
        before, after = len(share), len(share) + by
        if before:
            bucket = self._by_size[before]
            del bucket[share]
            if not bucket:
                del self._by_size[before]
        if after:
            self._by_size.setdefault(after, {})[share] = None
        self._count += by
        self._max_size = max(self._max_size, after)
        while self._max_size and self._max_size not in self._by_size:
            self._max_size -= 1


class ConnectionTable(Generic[ConnectionT]):
    """All connections of the process: those of trusted proxies and of signed-in callers are protected, others not."""

    def __init__(self) -> None:
        """Make an empty table."""
        self._unprotected: ConnectionPool[ConnectionT] = ConnectionPool()
        self._protected: ConnectionPool[ConnectionT] = ConnectionPool()

    def __len__(self) -> int:
        return len(self._unprotected) + len(self._protected)

    def add(self, connection: ConnectionT, address: str, *, is_protected: bool) -> AddressShare[ConnectionT]:
        """Add a new connection, which owes a head."""
        pool = self._protected if is_protected else self._unprotected
        return pool.add(connection, address, owes_head=True)

    def protect(self, connection: ConnectionT, share: AddressShare[ConnectionT]) -> AddressShare[ConnectionT]:
        """Protect a connection from now on, if it is still there; return the share that it belongs to."""
        if share.pool is self._protected or connection not in share:
            return share
        self.remove(connection, share)
        return self._protected.add(connection, share.address, owes_head=False)

    def remove(self, connection: ConnectionT, share: AddressShare[ConnectionT]) -> None:
        """Remove a connection, if it is still there."""
        share.pool.remove(connection, share)

    def choose_to_close(self, newcomer: ConnectionT, is_busy: Callable[[ConnectionT], bool]) -> ConnectionT:
        """Return the connection to close where there is one too many.

        It belongs to the address with the most unprotected connections; only without any of those, to the address with
        the most protected ones. Of that address it is the one that has owed a head longest, else the one that has been
        idle longest. The newcomer goes only where all others of its own address are busy.
        """
        for pool in (self._unprotected, self._protected):
            for share in pool.largest_shares():
                if (choice := _choose(share, newcomer, is_busy)) is not None:
                    return choice
        return newcomer


def _choose(
    share: AddressShare[ConnectionT], newcomer: ConnectionT, is_busy: Callable[[ConnectionT], bool]
) -> ConnectionT | None:
    for connection in share.unfinished:
        if connection is not newcomer:
            return connection
    for connection in islice(share.others, _MAX_PASSED_OVER):
        if not is_busy(connection):
            return connection
    if newcomer in share.unfinished:
        return newcomer if share.others else None
    return next(iter(share.others), None)


def max_connections(wanted: int) -> int:
    """Return how many connections the limit of open files leaves room for, after raising it as far as possible."""
    if sys.platform == "win32":
        return wanted
    import resource  # noqa: PLC0415  no such module on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (ValueError, OSError):
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - _OTHER_FILES))
