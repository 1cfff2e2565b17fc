"""The places for WebSockets in one process, and which socket gives way when all of them are taken."""

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

SocketType = TypeVar("SocketType", bound=Hashable)


class Reason(StrEnum):
    """Why a socket gives way."""

    CALLER_HOLDS_MOST = "caller_holds_most"
    ADDRESS_HOLDS_MOST = "address_holds_most"
    # Without an address that a trusted proxy forwarded, no share is counted: many people may be behind one address.
    OLDEST_WITHOUT_FORWARDED_ADDRESS = "oldest_without_forwarded_address"


class NoPlace(Exception):  # noqa: N818  (named like the rest of the family)
    """All places are taken, and no caller holds more of them than the newcomer would."""


class GivingWay(NamedTuple, Generic[SocketType]):
    """The socket that gives way, and why."""

    socket: SocketType
    reason: Reason


@dataclass(slots=True)
class _Holder:
    """Who holds one place.

    Attributes:
        share: the caller, or the forwarded address of an anonymous caller; None where no address was forwarded.
        is_anonymous: whether nobody signed in on the socket.
    """

    share: Hashable
    is_anonymous: bool


class SocketPlaces(Generic[SocketType]):
    """Counts shares only while all places are taken: then the largest share gives way, anonymous sockets first.

    Args:
        places: the sockets of the process.
        reserved: the places that signed-in callers cannot take, so that a new socket can always open and sign in.
    """

    def __init__(self, places: int, reserved: int) -> None:
        self._places = places
        self._places_for_callers = max(1, places - reserved)
        self._holders: dict[SocketType, _Holder] = {}  # in the order of their arrival

    def __len__(self) -> int:
        return len(self._holders)

    def __iter__(self) -> Iterator[SocketType]:
        return iter(list(self._holders))

    def take(self, socket: SocketType, share: Hashable, *, is_anonymous: bool) -> GivingWay[SocketType] | None:
        """Give a new socket a place; return the socket that gives way for it, if one has to.

        Raises:
            NoPlace: none gives way.
        """
        giving_way = None if is_anonymous else self._give_way_to_caller(share)
        if giving_way is None and len(self._holders) >= self._places:
            giving_way = self._give_way_to_socket(share if is_anonymous else None)
        if giving_way is not None:
            self.leave(giving_way.socket)
        self._holders[socket] = _Holder(share, is_anonymous)
        return giving_way

    def sign_in(self, socket: SocketType, share: Hashable) -> GivingWay[SocketType] | None:
        """Count the socket for the caller who signed in on it; return the socket that gives way, if one has to.

        Raises:
            NoPlace: none gives way.
        """
        holder = self._holders.get(socket)
        if holder is None:
            return None  # it gave way itself
        if not holder.is_anonymous:
            holder.share = share
            return None
        giving_way = self._give_way_to_caller(share)
        if giving_way is not None:
            self.leave(giving_way.socket)
        self._holders[socket] = _Holder(share, is_anonymous=False)
        return giving_way

    def leave(self, socket: SocketType) -> None:
        """Free the socket's place."""
        self._holders.pop(socket, None)

    def _give_way_to_caller(self, share: Hashable) -> GivingWay[SocketType] | None:
        counts = Counter(holder.share for holder in self._holders.values() if not holder.is_anonymous)
        if counts.total() < self._places_for_callers:
            return None
        counts[share] += 1
        # Where the newcomer's caller holds as many as any other, its own oldest socket gives way.
        largest = max(counts, key=lambda each: (counts[each], each == share))
        if counts[largest] == 1:
            raise NoPlace
        return GivingWay(self._oldest(largest, is_anonymous=False), Reason.CALLER_HOLDS_MOST)

    def _give_way_to_socket(self, share: Hashable) -> GivingWay[SocketType]:
        anonymous = [socket for socket, holder in self._holders.items() if holder.is_anonymous]
        if not anonymous:
            raise NoPlace
        counts = Counter(self._holders[socket].share for socket in anonymous)
        counts[share] += 1
        del counts[None]
        largest = max(counts, key=lambda each: (counts[each], each == share), default=None)
        if largest is None or counts[largest] == 1:
            return GivingWay(anonymous[0], Reason.OLDEST_WITHOUT_FORWARDED_ADDRESS)
        return GivingWay(self._oldest(largest, is_anonymous=True), Reason.ADDRESS_HOLDS_MOST)

    def _oldest(self, share: Hashable, *, is_anonymous: bool) -> SocketType:
        return next(
            socket
            for socket, holder in self._holders.items()
            if holder.share == share and holder.is_anonymous is is_anonymous
        )
