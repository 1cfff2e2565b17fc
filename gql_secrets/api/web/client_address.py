"""Which address a call comes from: the peer's, or the one that a trusted proxy in front of us reports.

Anybody can write `X-Forwarded-For`. What counts of it is the part that our own proxies wrote: each adds the peer it saw
at the right end. So the walk starts at the peer and goes left as long as the hop that spoke is trusted; the first
address that is not a trusted proxy's is the caller's, and what stands left of it is the caller's own tale and is not
read. Whatever the walk meets and cannot understand refuses the call: an allow list that guesses protects nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from multidict import MultiMapping

from gql_secrets.domain.errors import Forbidden, SetupError
from gql_secrets.domain.networks import EVERYWHERE, AllowList, InvalidNetwork, normalised, parse_network

MAX_CHAIN: Final = 4096

_UNIX: Final = "unix"
_WHOLE_IPV4: Final = "0.0.0.0/0"
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
    """The call's address cannot be told, so no allow list can let it in: refused like an address outside the list."""

    def __init__(self, why: str) -> None:
        super().__init__(f"It is not clear which address this call comes from: {why}", reason="ADDRESS")


@dataclass(frozen=True, slots=True, eq=False)
class TrustedProxies:
    """The peers whose word about the caller's address counts (`GQL_SECRETS_TRUSTED_PROXIES`).

    A peer on a Unix socket has no address, so no network can name it. It is trusted when the setting holds the word
    `unix`, and only then: whoever may open the socket is decided by the socket file's permissions, which the operator
    knows and we do not.
    """

    networks: AllowList | None = None
    unix: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read networks and addresses, comma-separated, and the word `unix`; an empty text trusts nobody.

        Raises:
            SetupError: a part is no network, or one that would trust every address.
        """
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        names = [part for part in parts if part.lower() != _UNIX]
        try:
            for name in names:
                if parse_network(name).prefixlen == 0:
                    # With every hop trusted the walk ends at the left end, which the caller wrote.
                    raise SetupError(
                        f"GQL_SECRETS_TRUSTED_PROXIES: {name} would let every caller choose its own address. "
                        "Write the addresses of your gateways."
                    )
            networks = AllowList.parse(names) if names else None
        except InvalidNetwork as invalid:
            told = f'"{invalid.value}": ' if invalid.value else ""
            raise SetupError(f"GQL_SECRETS_TRUSTED_PROXIES: {told}{invalid.reason}") from invalid
        return cls(networks, unix=len(names) < len(parts))

    def trusts(self, address: str) -> bool:
        """Whether what this address says about its own peer is believed."""
        return self.networks is not None and self.networks.allows(address)


def client_address(peer: str | None, headers: MultiMapping[str], trusted: TrustedProxies) -> str:
    """The caller's address in its one spelling (IPv4-mapped IPv6 is folded).

    Args:
        peer: the other end of the connection, as aiohttp's `request.remote` says it; None or empty on a Unix socket.
        headers: the request's headers.
        trusted: whose `X-Forwarded-For` and `Forwarded` count. Without a header from it, a trusted peer is the caller.

    Raises:
        AddressUnclear: the headers of a trusted proxy are unreadable, silent, too long, or contradict each other.
    """
    if not peer:
        if not trusted.unix:
            raise AddressUnclear("it came over a Unix socket whose other end is not a trusted proxy.")
        address = None
    else:
        address, is_trusted = _of_peer(peer, trusted)
        if not is_trusted:
            return address
    told: set[str] = set()
    if lines := headers.getall("X-Forwarded-For", ()):
        told.add(_walked(_x_forwarded_for(lines), trusted))
    if lines := headers.getall("Forwarded", ()):
        told.add(_walked(_forwarded(lines), trusted))
    if len(told) > 1:
        raise AddressUnclear("X-Forwarded-For and Forwarded tell different ones; let the gateway drop one of them.")
    if told:
        return told.pop()
    if address is None:
        raise AddressUnclear("it came over a Unix socket without X-Forwarded-For or Forwarded.")
    return address


def allow_list_of_whitelist(whitelist: Sequence[object]) -> AllowList:
    """The allow list that the /clients dialect means; its `["0.0.0.0/0"]` is "everywhere", which for us has IPv6 too.

    Raises:
        InvalidNetwork: as `AllowList.parse`.
    """
    allow_list = AllowList.parse(whitelist)
    return EVERYWHERE if allow_list.texts == (_WHOLE_IPV4,) else allow_list


def whitelist_of_allow_list(allow_list: AllowList) -> list[str]:
    """The same list in the /clients dialect; read back it means what it meant.

    "Every IPv4 address, but no IPv6 one" has no spelling of its own there, so it is written as the two halves: a
    script that reads a list and writes it back must not widen it.
    """
    if allow_list.is_everywhere:
        return [_WHOLE_IPV4]
    if allow_list.texts == (_WHOLE_IPV4,):
        return ["0.0.0.0/1", "128.0.0.0/1"]
    return list(allow_list.texts)


@lru_cache(maxsize=4096)
def _of_peer(peer: str, trusted: TrustedProxies) -> tuple[str, bool]:
    """Return the peer's address, and whether its word counts: the same few peers ask again and again."""
    # The zone of a link-local peer comes from the kernel and is ours to drop; in a header it is refused.
    address = normalised(peer.partition("%")[0])
    if address is None:
        raise AddressUnclear("the connection's own address is not an IP address.")
    # A zone means link-local, and the same link-local address may stand on every link: never a trusted proxy.
    return address, "%" not in peer and trusted.trusts(address)


def _walked(nodes: Iterator[str | None], trusted: TrustedProxies) -> str:
    """The first address from the right that is no trusted proxy's; the leftmost one if all are.

    `nodes` come from right to left and are read only as far as the walk goes.
    """
    address: str | None = None
    for node in nodes:
        address = _address_of(node)
        if not trusted.trusts(address):
            return address
    if address is None:
        raise AddressUnclear("a trusted proxy sent the header without anything in it.")
    return address


def _x_forwarded_for(lines: Sequence[str]) -> Iterator[str | None]:
    for node in reversed(_bounded(lines).split(",")):
        yield node.strip(" \t")


def _forwarded(lines: Sequence[str]) -> Iterator[str | None]:
    _bounded(lines)
    # Each line is read for itself, and to its end: a quote that a caller leaves open must not swallow
    # what a proxy wrote after it.
    elements = [element for line in lines for element in _elements(line)]
    for element in reversed(elements):
        node = element.get("for")
        if node is not None and node.count(":") > 1 and not node.startswith("["):
            # Without brackets nobody can say where the address ends and the port begins.
            raise AddressUnclear("an IPv6 address in Forwarded stands in brackets and quotes.")
        yield node


def _bounded(lines: Sequence[str]) -> str:
    joined = ",".join(lines)
    if len(joined) > MAX_CHAIN:
        raise AddressUnclear(f"the header is longer than {MAX_CHAIN} characters.")
    return joined


def _elements(line: str) -> list[dict[str, str]]:
    """The elements of one `Forwarded` line (RFC 7239, section 4), each with its parameters in lower case."""
    elements: list[dict[str, str]] = [{}]
    text = line.strip(" \t")
    at = 0
    while at < len(text):
        if pair := _PAIR.match(text, at):
            name, word, quoted = pair.group(1).lower(), pair.group(2), pair.group(3)
            if name in elements[-1]:
                raise AddressUnclear("an element of Forwarded says the same parameter twice.")
            elements[-1][name] = word if quoted is None else _ESCAPE.sub(r"\1", quoted[1:-1])
            at = pair.end()
        separator = _SEPARATOR.match(text, at)
        if separator is None:
            if at < len(text):
                raise AddressUnclear("Forwarded is not written as RFC 7239 says.")
            break
        if separator.group(1) == ",":
            elements.append({})
        at = separator.end()
    return elements


def _address_of(node: str | None) -> str:
    """The address in a node such as `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`."""
    if not node:
        raise AddressUnclear("a trusted proxy left out whom it saw.")
    if len(node) <= _MAX_NODE:
        if (plain := normalised(node)) is not None:
            return plain
        host, port = node, None
        if bracketed := _BRACKETED.fullmatch(node):
            host, port = bracketed.groups()
            # Brackets are IPv6's; [192.0.2.1] is nothing.
            host = host if ":" in host else ""
        elif node.count(":") == 1:
            host, _, port = node.partition(":")
        address = normalised(host)
        if address is not None and (port is None or _is_port(port)):
            return address
    # `unknown` and `_hidden` of RFC 7239 come here too: they are well written and name no address.
    raise AddressUnclear("a trusted proxy named something that is not an IP address.")


def _is_port(text: str) -> bool:
    if _OBFUSCATED_PORT.fullmatch(text):
        return True
    return text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_PORT)) and int(text) <= _MAX_PORT
