"""Does a request come from a page of our own? A browser says it; a foreign page cannot make it say otherwise.

`Sec-Fetch-Site` is the browser's own word (it is sent to https and to this machine). Where there is none, `Origin`
must be ours. A program that is no browser sends neither: it is no foreign page, but it proves nothing either, so a
cookie, which a browser adds by itself, changes nothing without the proof.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from gql_secrets.domain.errors import Forbidden
from gql_secrets.settings import Settings

SEC_FETCH_SITE: Final = "Sec-Fetch-Site"
_SAME_ORIGIN: Final = "same-origin"
_NO_PAGE: Final = "none"  # the person typed the address or opened a bookmark


class ForeignOrigin(Forbidden):
    """The request comes from a page that is not ours, or could."""

    def __init__(self, own: str) -> None:
        super().__init__(f"This is only for pages of {own}: open that address and do it there.", reason="ORIGIN")


@dataclass(frozen=True, slots=True)
class OwnOrigin:
    """Where our own pages are.

    Attributes:
        public: the origin that people type, such as https://secrets.example.com.
        is_chosen: the operator said so; otherwise this machine's other names for itself are ours too.
    """

    public: str
    is_chosen: bool

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the origin that the settings name."""
        return cls(_written(settings.address_url), bool(settings.public_url))

    def is_foreign(self, request: web.Request) -> bool:
        """Whether the browser says that another site's page sent the request."""
        sites = request.headers.getall(SEC_FETCH_SITE, ())
        origins = request.headers.getall(hdrs.ORIGIN, ())
        return any(site not in (_SAME_ORIGIN, _NO_PAGE) for site in sites) or any(
            not self._is_own(origin, request) for origin in origins
        )

    def is_proven(self, request: web.Request) -> bool:
        """Whether the browser says that a page of ours sent the request."""
        if self.is_foreign(request):
            return False
        sites = request.headers.getall(SEC_FETCH_SITE, ())
        return set(sites) == {_SAME_ORIGIN} if sites else hdrs.ORIGIN in request.headers

    def refuse_foreign(self, request: web.Request) -> None:
        """Pass unless another site's page sent the request.

        Raises:
            ForeignOrigin: one did.
        """
        if self.is_foreign(request):
            raise ForeignOrigin(self.public)

    def require_proof(self, request: web.Request) -> None:
        """Pass if a page of ours sent the request.

        Raises:
            ForeignOrigin: that is not proven.
        """
        if not self.is_proven(request):
            raise ForeignOrigin(self.public)

    def _is_own(self, origin: str, request: web.Request) -> bool:
        if origin == self.public:
            return True
        # Without a public URL people type localhost, 127.0.0.1 or this machine's address alike. A name proves
        # nothing: whoever owns it lets it point here (DNS rebinding).
        return not self.is_chosen and origin == f"http://{request.host}" and _is_address(request.host)


def _written(url: str) -> str:
    """Return the origin of a URL as browsers write it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{name}" + (f":{parts.port}" if parts.port not in (None, default) else "")


def _is_address(host: str) -> bool:
    """Whether this names a machine by its address, or as this one."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False
