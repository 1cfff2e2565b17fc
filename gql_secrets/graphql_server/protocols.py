"""What this package needs from the application around it."""

from collections.abc import Hashable
from typing import Protocol


class RequestContext(Protocol):
    """One request. The application creates it; resolvers receive the same object as `info.context`."""

    @property
    def request_id(self) -> str:
        """The id of the request, as errors and the log show it."""
        ...

    @property
    def is_anonymous(self) -> bool:
        """Whether the caller is anonymous."""
        ...

    @property
    def turn_key(self) -> Hashable:
        """Whose operations run one at a time: the caller, or an anonymous caller's address. None: not limited."""
        ...

    @property
    def event_id(self) -> str | None:
        """The id of the event that a subscription delivers now, after which a stream can resume; None without one."""
        ...


class SocketHooks(Protocol):
    """What one socket needs from the application: it knows the socket's caller."""

    @property
    def is_anonymous(self) -> bool:
        """Whether the caller is anonymous."""
        ...

    @property
    def share(self) -> Hashable:
        """Whose share of the sockets this one counts for: the caller, or an anonymous caller's forwarded address.

        None where no trusted proxy forwarded the address.
        """
        ...

    @property
    def turn_key(self) -> Hashable:
        """Whose operations run one at a time."""
        ...

    async def sign_in(self, authorization: str) -> None:
        """Sign in with the `Authorization` of `connection_init`; any failure refuses it."""
        ...

    async def begin_operation(self) -> RequestContext:
        """Return the context of one operation, its caller evaluated at this moment."""
        ...
