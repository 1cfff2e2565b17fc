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
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
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
        allowed: the origins of others' frontends that may ask `/graphql`, signed in by header.
    """

    public: str
    is_chosen: bool
    allowed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the origin that the settings name."""
        allowed = frozenset(_written(origin) for origin in settings.origins)
        return cls(_written(settings.address_url), bool(settings.public_url), allowed)

    def is_at_home(self, request: web.Request) -> bool:
        """Whether the browser asked for us by our name, or by an address.

        Whoever owns a name lets it point wherever they like (DNS rebinding): a page of theirs must not get ours. An
        address points nowhere else, and proxies that do not pass `Host` on ask by it.
        """
        scheme, _, own = self.public.partition("://")
        host = request.host.lower()
        return host in (own, f"{own}:{_DEFAULT_PORTS[scheme]}") or _is_address(host)

    def require_home(self, request: web.Request) -> None:
        """Pass if the browser asked for us by our name, or by an address.

        Raises:
            ForeignOrigin: it did not.
        """
        if not self.is_at_home(request):
            raise ForeignOrigin(self.public)

    def away(self) -> str:
        """Return what is said to whoever asks for our pages by another name."""
        hint = (
            "If you did, the proxy in front of it must pass the Host header on."
            if self.is_chosen
            else "If your name for it is meant to lead here, set GQL_SECRETS_PUBLIC_URL to that."
        )
        return f"These pages are at {self.public} and at no other name: open that. {hint}"

    def is_allowed(self, request: web.Request) -> bool:
        """Whether a page of an allowed frontend sent the request."""
        origins = request.headers.getall(hdrs.ORIGIN, ())
        return len(origins) == 1 and origins[0] in self.allowed

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

    def require_allowed_origin(self, request: web.Request) -> None:
        """Pass unless a page sent the request that is neither ours nor an allowed frontend's.

        Raises:
            ForeignOrigin: one did.
        """
        if not self.is_allowed(request):
            self.refuse_foreign(request)

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
    default = _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{name}" + (f":{parts.port}" if parts.port not in (None, default) else "")


def _is_address(host: str) -> bool:
    """Whether this names a machine by its address, or as this one."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False
