"""The caller's address: the peer's, or the one that a trusted proxy reports.

Anyone can send `X-Forwarded-For`. Only the part that trusted proxies wrote counts: each appends the peer that it saw.
So the chain is read from the right, starting at the peer, as long as the reporting hop is trusted; the first address
that is not a trusted proxy's is the caller's. Everything to the left of it is client-supplied and ignored. A chain that
cannot be understood makes the address unclear and the call is refused: an allow list that guesses protects nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from aiohttp import hdrs
from multidict import MultiMapping

from gql_secrets.domain.errors import Forbidden, SetupError
from gql_secrets.domain.networks import AllowList, InvalidNetwork, normalised
from gql_secrets.service.usage.tallies import MAX_READ_OF_USER_AGENT, Source

if TYPE_CHECKING:
    from gql_secrets.api.web.aiohttp_internals.requests import Head

MAX_CHAIN: Final = 4096

_UNIX: Final = "unix"
# All private networks together are smaller than this; half of the Internet, in any number of pieces, is larger.
_MAX_IPV4: Final = 2**28
_MAX_IPV6: Final = 2**124
_MAX_NODE: Final = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")
_MAX_PORT: Final = 65535

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*"'
_PAIR: Final = re.compile(rf"({_WORD})=(?:({_WORD})|({_QUOTED}))")
_SEPARATOR: Final = re.compile(r"[ \t]*([,;])[ \t]*")
_ESCAPE: Final = re.compile(r"\\(.)")
_BRACKETED: Final = re.compile(r"\[([^\[\]]*)\](?::(.*))?")
_OBFUSCATED_PORT: Final = re.compile(r"_[A-Za-z0-9._-]+")


class AddressUnclear(Forbidden):
    """The caller's address cannot be determined: refused like an address that is not in the allow list."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The caller's address cannot be determined: {why}", reason="ADDRESS")


class RequestSource(NamedTuple):
    """Where a request came from.

    Attributes:
        source: the address, None where it is unclear, and the user agent.
        unclear: why the address cannot be determined; None where it can.
    """

    source: Source
    unclear: AddressUnclear | None

    @property
    def address(self) -> str | None:
        """The caller's address, None where it cannot be determined."""
        return self.source.address


@dataclass(slots=True, eq=False)
class TrustedProxies:
    """The proxies whose reports about the caller's address count (`GQL_SECRETS_TRUSTED_PROXIES`).

    A peer on a Unix socket has no address, so no network can include it. It is trusted only if the setting has the word
    `unix`: the socket file's permissions decide who may connect, and only the operator knows them.
    """

    networks: AllowList | None = None
    unix: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read comma-separated networks, addresses, and the word `unix`; an empty text trusts no proxy.

        Raises:
            SetupError: a part is not a network, or the networks together are too wide to be those of proxies.
        """
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        names = [part for part in parts if part.lower() != _UNIX]
        try:
            networks = AllowList.parse(names) if names else None
        except InvalidNetwork as invalid:
            value = f'"{invalid.value}": ' if invalid.value else ""
            raise SetupError(f"GQL_SECRETS_TRUSTED_PROXIES: {value}{invalid.reason}") from invalid
        if networks is not None and _is_too_wide(networks):
            raise SetupError(
                f"GQL_SECRETS_TRUSTED_PROXIES: {', '.join(names)} would let callers choose their own address. "
                "Write the addresses of your gateways."
            )
        return cls(networks, unix=len(names) < len(parts))

    def become(self, other: Self) -> None:
        """Trust what the other one trusts, wherever this object is in use: the settings were read again."""
        self.networks, self.unix = other.networks, other.unix
        _of_peer.cache_clear()
        _of_caller.cache_clear()

    def trusts(self, address: str) -> bool:
        """Whether this address is a trusted proxy's."""
        return self.networks is not None and self.networks.allows(address)


def find_source(request: "Head", trusted: TrustedProxies) -> RequestSource:
    """Return where a request came from, as far as trusted proxies report it."""
    headers, peer = request.headers, request.remote
    user_agent = headers.get(hdrs.USER_AGENT)
    if user_agent is not None:
        user_agent = user_agent[:MAX_READ_OF_USER_AGENT]
    try:
        if peer and (known := _of_caller(peer, user_agent, trusted)) is not None:
            return known
        return RequestSource(Source(client_address(peer, headers, trusted), user_agent), None)
    except AddressUnclear as unclear:
        return RequestSource(Source(None, user_agent), unclear)


def is_trusted_proxy(peer: str | None, trusted: TrustedProxies) -> bool:
    """Return whether the other end of the connection is a trusted proxy.

    Args:
        peer: aiohttp's `request.remote`; None or empty on a Unix socket.
        trusted: the trusted proxies.

    Raises:
        AddressUnclear: it is not an IP address.
    """
    return _of_peer(peer, trusted)[1] if peer else trusted.unix


def client_address(peer: str | None, headers: MultiMapping[str], trusted: TrustedProxies) -> str:
    """Return the caller's address in its canonical spelling (IPv4-mapped IPv6 becomes IPv4).

    Args:
        peer: the other end of the connection, aiohttp's `request.remote`; None or empty on a Unix socket.
        headers: the request's headers.
        trusted: whose `X-Forwarded-For` and `Forwarded` count. Without either header, a trusted peer is the caller.

    Raises:
        AddressUnclear: the headers of a trusted proxy are malformed, empty, too long, or contradict each other.
    """
    if not peer:
        if not trusted.unix:
            raise AddressUnclear("the call came over a Unix socket, which is not a trusted proxy.")
        address = None
    else:
        address, is_trusted = _of_peer(peer, trusted)
        if not is_trusted:
            return address
    reported: set[str] = set()
    if lines := headers.getall("X-Forwarded-For", ()):
        reported.add(_client_of(_x_forwarded_for(lines), trusted))
    if lines := headers.getall("Forwarded", ()):
        reported.add(_client_of(_forwarded(lines), trusted))
    if len(reported) > 1:
        raise AddressUnclear("X-Forwarded-For and Forwarded disagree; configure the gateway to send one of them.")
    if reported:
        return reported.pop()
    if address is None:
        raise AddressUnclear("the call came over a Unix socket without X-Forwarded-For or Forwarded.")
    return address


def _is_too_wide(networks: AllowList) -> bool:
    """Whether these networks contain callers too: then the left end of the chain would count, which callers write."""
    ipv4, ipv6 = networks.size
    return ipv4 > _MAX_IPV4 or ipv6 > _MAX_IPV6


@lru_cache(maxsize=4096)
def _of_peer(peer: str, trusted: TrustedProxies) -> tuple[str, bool]:
    """Return the peer's address, and whether it is a trusted proxy. Cached: a few peers send most requests."""
    # The zone of a link-local peer comes from the kernel and may be dropped; in a header it is refused.
    address = normalised(peer.partition("%")[0])
    if address is None:
        raise AddressUnclear("the connection's own address is not an IP address.")
    # A zone means link-local, and the same link-local address may exist on every link: never a trusted proxy.
    return address, "%" not in peer and trusted.trusts(address)


@lru_cache(maxsize=4096)
def _of_caller(peer: str, user_agent: str | None, trusted: TrustedProxies) -> RequestSource | None:
    """Return the source of requests of a peer that is the caller; None for a trusted proxy, which reports the caller.

    Cached as `_of_peer` is: the source of a request that comes again costs a look into a dictionary.
    """
    address, is_trusted = _of_peer(peer, trusted)
    return None if is_trusted else RequestSource(Source(address, user_agent), None)


def _client_of(nodes: Iterator[str | None], trusted: TrustedProxies) -> str:
    """Return the first address from the right that is not a trusted proxy's; the leftmost one if all are.

    `nodes` come from right to left and are read only as far as needed.
    """
    address: str | None = None
    for node in nodes:
        address = _address_of(node)
        if not trusted.trusts(address):
            return address
    if address is None:
        raise AddressUnclear("a trusted proxy sent an empty header.")
    return address


def _x_forwarded_for(lines: Sequence[str]) -> Iterator[str | None]:
    for node in reversed(_bounded(lines).split(",")):
        yield node.strip(" \t")


def _forwarded(lines: Sequence[str]) -> Iterator[str | None]:
    _bounded(lines)
    # Each line is parsed separately and completely: a quote that a caller leaves open must not swallow what a proxy
    # wrote after it.
    elements = [element for line in lines for element in _elements(line)]
    for element in reversed(elements):
        node = element.get("for")
        if node is not None and node.count(":") > 1 and not node.startswith("["):
            # Without brackets, the last part of the address and a port look the same.
            raise AddressUnclear("an IPv6 address in Forwarded must be in brackets and quotes.")
        yield node


def _bounded(lines: Sequence[str]) -> str:
    joined = ",".join(lines)
    if len(joined) > MAX_CHAIN:
        raise AddressUnclear(f"the header is longer than {MAX_CHAIN} characters.")
    return joined


def _elements(line: str) -> list[dict[str, str]]:
    """Return the elements of one `Forwarded` line (RFC 7239, section 4), with parameter names in lower case."""
    elements: list[dict[str, str]] = [{}]
    text = line.strip(" \t")
    at = 0
    while at < len(text):
        if pair := _PAIR.match(text, at):
            name, word, quoted = pair.group(1).lower(), pair.group(2), pair.group(3)
            if name in elements[-1]:
                raise AddressUnclear("an element of Forwarded has the same parameter twice.")
            elements[-1][name] = word if quoted is None else _ESCAPE.sub(r"\1", quoted[1:-1])
            at = pair.end()
        separator = _SEPARATOR.match(text, at)
        if separator is None:
            if at < len(text):
                raise AddressUnclear("Forwarded does not follow RFC 7239.")
            break
        if separator.group(1) == ",":
            elements.append({})
        at = separator.end()
    return elements


def _address_of(node: str | None) -> str:
    """Return the address of a node: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`."""
    if not node:
        raise AddressUnclear("a trusted proxy left out the address of its peer.")
    if len(node) <= _MAX_NODE:
        if (plain := normalised(node)) is not None:
            return plain
        host, port = node, None
        if bracketed := _BRACKETED.fullmatch(node):
            host, port = bracketed.groups()
            # Only IPv6 addresses have brackets.
            host = host if ":" in host else ""
        elif node.count(":") == 1:
            host, _, port = node.partition(":")
        address = normalised(host)
        if address is not None and (port is None or _is_port(port)):
            return address
    # Including `unknown` and `_hidden` of RFC 7239, which are well-formed but not addresses.
    raise AddressUnclear("a trusted proxy reported something that is not an IP address.")


def _is_port(text: str) -> bool:
    if _OBFUSCATED_PORT.fullmatch(text):
        return True
    return text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_PORT)) and int(text) <= _MAX_PORT
