"""Which page of a browser sent a request: one of this server's own, an allowed frontend's, or another site's.

The browser says so in `Sec-Fetch-Site`, which no page can change (browsers send it to https and to this machine).
Without it, `Origin` must be this server's own. A program that is not a browser sends neither header: its request does
not come from another site, but it proves nothing either, so a session cookie, which browsers add on their own, changes
nothing without that proof.
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
_NO_PAGE: Final = "none"  # a person typed the address or opened a bookmark


class CrossOriginRefused(Forbidden):
    """The request comes from a page of another site, or is not proven not to."""

    def __init__(self, own: str) -> None:
        super().__init__(f"Cross-origin request refused. Use {own}.", reason="ORIGIN")


@dataclass(frozen=True, slots=True)
class OwnOrigin:
    """The origin of this server's own pages.

    Attributes:
        public: the origin that people type, such as https://secrets.example.com.
        is_chosen: whether the operator set it; otherwise this machine's other names for itself count too.
        allowed: the origins of other frontends that may call `/graphql` with credentials in a header.
    """

    public: str
    is_chosen: bool
    allowed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the origin that the settings name."""
        allowed = frozenset(_format_origin(origin) for origin in settings.origins)
        return cls(_format_origin(settings.address_url), bool(settings.public_url), allowed)

    def is_own_host(self, request: web.Request) -> bool:
        """Whether the browser asked for this server by its own name, or by an address.

        The owner of any other name can point it anywhere (DNS rebinding): a page under that name must not get ours.
        An address cannot be redirected, and a proxy that does not forward `Host` asks by address.
        """
        scheme, _, own = self.public.partition("://")
        host = request.host.lower()
        return host in (own, f"{own}:{_DEFAULT_PORTS[scheme]}") or _is_address(host)

    def require_own_host(self, request: web.Request) -> None:
        """Pass if the browser asked for this server by its own name, or by an address.

        Raises:
            CrossOriginRefused: it did not.
        """
        if not self.is_own_host(request):
            raise CrossOriginRefused(self.public)

    def misdirected_message(self) -> str:
        """Return the message for a request for a page by another name."""
        hint = (
            "If you did, your proxy must forward the Host header."
            if self.is_chosen
            else "To use another name, set GQL_SECRETS_PUBLIC_URL to it."
        )
        return f"Open {self.public}. {hint}"

    def is_allowed(self, request: web.Request) -> bool:
        """Whether a page of an allowed frontend sent the request."""
        origins = request.headers.getall(hdrs.ORIGIN, ())
        return len(origins) == 1 and origins[0] in self.allowed

    def is_cross_site(self, request: web.Request) -> bool:
        """Whether, according to the browser, a page of another site sent the request."""
        sites = request.headers.getall(SEC_FETCH_SITE, ())
        origins = request.headers.getall(hdrs.ORIGIN, ())
        return any(site not in (_SAME_ORIGIN, _NO_PAGE) for site in sites) or any(
            not self._is_own(origin, request) for origin in origins
        )

    def is_from_own_page(self, request: web.Request) -> bool:
        """Whether, according to the browser, one of this server's own pages sent the request."""
        if self.is_cross_site(request):
            return False
        sites = request.headers.getall(SEC_FETCH_SITE, ())
        return set(sites) == {_SAME_ORIGIN} if sites else hdrs.ORIGIN in request.headers

    def refuse_cross_site(self, request: web.Request) -> None:
        """Pass unless a page of another site sent the request.

        Raises:
            CrossOriginRefused: one did.
        """
        if self.is_cross_site(request):
            raise CrossOriginRefused(self.public)

    def require_allowed_origin(self, request: web.Request) -> None:
        """Pass unless a page sent the request that is neither our own nor an allowed frontend's.

        Raises:
            CrossOriginRefused: one did.
        """
        if not self.is_allowed(request):
            self.refuse_cross_site(request)

    def require_own_page(self, request: web.Request) -> None:
        """Pass if one of this server's own pages sent the request.

        Raises:
            CrossOriginRefused: that is not proven.
        """
        if not self.is_from_own_page(request):
            raise CrossOriginRefused(self.public)

    def _is_own(self, origin: str, request: web.Request) -> bool:
        if origin == self.public:
            return True
        # Without a public URL, people type localhost, 127.0.0.1 or this machine's address. Any other name in `Host`
        # proves nothing (DNS rebinding).
        return not self.is_chosen and origin == f"http://{request.host}" and _is_address(request.host)


def _format_origin(url: str) -> str:
    """Return the origin of a URL as browsers write it: scheme and host in lower case, no default port."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host
    default = _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{name}" + (f":{parts.port}" if parts.port not in (None, default) else "")


def _is_address(host: str) -> bool:
    """Whether this is an IP address, or `localhost`."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False
