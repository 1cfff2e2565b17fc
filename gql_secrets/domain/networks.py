"""Allow lists: the networks from which a client may call.

An IPv4 address has one spelling here. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`, as a dual-stack socket reports
it) is folded to IPv4, and so is a network of them. So `0.0.0.0/0` contains every IPv4 address and `::/0` every other
address, on every kind of socket.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final, Self

from gql_secrets.domain.errors import InvalidAllowList

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_NETWORKS: Final = 100
WHOLE_IPV4: Final = "0.0.0.0/0"

# Every address is one number: IPv4 below zero, IPv6 from zero on. An allow list is then a few ranges of numbers, and
# one bisection answers it, in about a microsecond for any number of networks.
_IPV4_BITS: Final = 32
_IPV4_SHIFT: Final = 2**_IPV4_BITS
_FIRST: Final = -_IPV4_SHIFT
_LAST: Final = 2**128 - 1

_MAPPED_BITS: Final = 96
_IPV6_BITS: Final = 128
_BEYOND_MAPPED: Final = 2**48
_MAPPED: Final = 0xFFFF  # what an IPv4-mapped IPv6 address has before the IPv4 address
_MAX_NETWORK: Final = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128")
_MAX_PREFIX: Final = 3
_IPV6_BLOCK: Final = 64
_SHOWN: Final = 16


class InvalidNetwork(InvalidAllowList):
    """A text is not a network, or the allow list is empty or too long.

    Attributes:
        value: the invalid text, printable: without control characters, and cut if it is longer than any network.
            Empty if no single text is invalid.
        reason: a sentence that says what to write instead.
    """

    def __init__(self, value: str, reason: str, *, number: int | None = None) -> None:
        """Describe what is invalid.

        Args:
            value: the invalid text.
            reason: a sentence that says what to write instead.
            number: which network of the list it is, from 1; None if there is one only.
        """
        # Without the value: a GraphQL error echoes no input.
        super().__init__(reason if number is None else f"Network {number}: {reason}")
        self.value = value
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class AddressRanges:
    """Addresses, as ascending ranges of numbers."""

    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _ends: tuple[int, ...] = field(init=False, repr=False, compare=False)

    @property
    def is_everywhere(self) -> bool:
        """Whether every address is allowed, IPv4 and IPv6."""
        return self._starts == (_FIRST,) and self._ends == (_LAST,)

    def allows(self, address: str | Address) -> bool:
        """Return whether the list allows this address. No list allows a text that is not an address."""
        position = _position(address) if isinstance(address, str) else _place(address)
        if position is None:
            return False
        index = bisect_right(self._starts, position) - 1
        return index >= 0 and position <= self._ends[index]

    def _set_ranges(self, ranges: Iterable[tuple[int, int]]) -> None:
        merged = _merged(ranges)
        object.__setattr__(self, "_starts", tuple(start for start, _ in merged))
        object.__setattr__(self, "_ends", tuple(end for _, end in merged))


@dataclass(frozen=True, slots=True)
class AllowList(AddressRanges):
    """The networks from which a client may call: 1 to 100, each once, in the order given."""

    networks: tuple[Network, ...]

    def __post_init__(self) -> None:
        if not self.networks:
            raise InvalidNetwork(
                "", "An allow list must have at least one network; 0.0.0.0/0 and ::/0 together allow every address."
            )
        distinct = tuple(dict.fromkeys(_folded(network) for network in self.networks))
        if len(distinct) > MAX_NETWORKS:
            raise InvalidNetwork(
                "",
                f"An allow list must have at most {MAX_NETWORKS} networks; combine adjacent ones.",
            )
        object.__setattr__(self, "networks", distinct)
        self._set_ranges(map(_range_of, distinct))

    @classmethod
    def parse(cls, texts: Iterable[object]) -> Self:
        """Return the list of these texts, such as `10.0.0.0/8`, `2001:db8::/32`, or one address `192.0.2.1`.

        Raises:
            InvalidNetwork: (an `InvalidAllowList`) a text is not a network, or there are none or too many.
        """
        if isinstance(texts, str):
            raise InvalidNetwork(shown(texts), 'An allow list is a list of strings: write ["…"] around it.')
        given = list(texts)
        networks: dict[Network, None] = {}
        for number, text in enumerate(given, 1):
            try:
                networks[parse_network(text)] = None
            except InvalidNetwork as invalid:
                if len(given) == 1:
                    raise
                raise InvalidNetwork(invalid.value, invalid.reason, number=number) from None
            if len(networks) > MAX_NETWORKS:
                break
        return cls(tuple(networks))

    @property
    def texts(self) -> tuple[str, ...]:
        """The networks as text, in one spelling: folded, compressed, always with the prefix length."""
        return tuple(str(network) for network in self.networks)

    @property
    def size(self) -> tuple[int, int]:
        """How many IPv4 addresses are allowed, and how many IPv6 ones."""
        ranges = list(zip(self._starts, self._ends, strict=True))
        ipv4 = sum(max(0, min(end, -1) - start + 1) for start, end in ranges)
        return ipv4, sum(end - start + 1 for start, end in ranges) - ipv4

    def is_within(self, other: "AllowList") -> bool:
        """Return whether the other list allows every address that this one allows."""
        others = list(map(_range_of, other.networks))
        return _merged((*others, *map(_range_of, self.networks))) == _merged(others)


# A page has at most 100 clients, each with a list of its own.
@lru_cache(maxsize=128)
def stored_allow_list(texts: tuple[str, ...]) -> AddressRanges:
    """Return the addresses that a stored allow list allows, in an eighth of the time of `AllowList.parse`."""
    ranges = AddressRanges()
    ranges._set_ranges(_stored_range(text) or _range_of(parse_network(text)) for text in texts)  # noqa: SLF001
    return ranges


def parse_whitelist(texts: Iterable[object]) -> AllowList:
    """Return the allow list of a whitelist of `POST /clients/set_whitelist`, where `["0.0.0.0/0"]` means everywhere.

    Raises:
        InvalidNetwork: as `AllowList.parse`.
    """
    allow_list = AllowList.parse(texts)
    return EVERYWHERE if allow_list.texts == (WHOLE_IPV4,) else allow_list


def address_block(address: str) -> str:
    """Return what counts as one caller in a limit by address: an IPv4 address, or the /64 of an IPv6 address."""
    parsed = parse_address(address.partition("%")[0])
    return str(IPv6Network((parsed, _IPV6_BLOCK), strict=False)) if isinstance(parsed, IPv6Address) else address


def parse_network(text: object) -> Network:
    """Return the network that this text names; a bare address is a network of one.

    Raises:
        InvalidNetwork: it is malformed, or has host bits set.
    """
    if not isinstance(text, str):
        raise InvalidNetwork(shown(str(text)), "Write a network as a string, such as 192.0.2.0/24.")
    stripped = text.strip()
    address_text, slash, prefix_text = stripped.partition("/")
    address = parse_address(address_text) if len(stripped) <= _MAX_NETWORK else None
    if address is None:
        raise InvalidNetwork(
            shown(text), "Write an IPv4 or IPv6 network such as 192.0.2.0/24 or 2001:db8::/32, or a single address."
        )
    bits: int = address.max_prefixlen
    # A mapped network counts its prefix in the IPv6 spelling: /104 of it is /8 of what it means.
    shift = _MAPPED_BITS if isinstance(address, IPv4Address) and ":" in address_text else 0
    prefix = bits
    if slash:
        plain = prefix_text.isascii() and prefix_text.isdigit() and len(prefix_text) <= _MAX_PREFIX
        if not plain or prefix_text != str(int(prefix_text)) or not shift <= int(prefix_text) <= bits + shift:
            raise InvalidNetwork(
                shown(text), f"After the slash, write only the prefix length, a number from {shift} to {bits + shift}."
            )
        prefix = int(prefix_text) - shift
    network = _network(address, prefix)
    if network.network_address != address:
        raise InvalidNetwork(
            shown(text),
            f"Its host bits are set. Write {network} for the whole network, or {address}/{bits} for the one address.",
        )
    return network


def parse_address(text: str) -> Address | None:
    """Return the address that this text names, folded, or None. An address with a zone (`fe80::1%eth0`) gives None."""
    # ipaddress keeps a zone as part of the address; it has a meaning only on the machine that wrote it.
    if "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return folded(address)


def folded(address: Address) -> Address:
    """Return the same address; an IPv4-mapped IPv6 address becomes IPv4."""
    if isinstance(address, IPv6Address) and (mapped := address.ipv4_mapped) is not None:
        return mapped
    return address


@lru_cache(maxsize=4096)
def normalised(text: str) -> str | None:
    """Return the canonical spelling of the address that this text names, or None."""
    address = parse_address(text)
    return None if address is None else str(address)


def shown(text: str) -> str:
    """Return the text in a printable form, on one line, and cut if it is too long for a network.

    The cut also keeps a secret that was put in the wrong field from being repeated in full.
    """
    cut = text if len(text) <= _MAX_NETWORK else f"{text[:_SHOWN]}…"
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in cut)


def _folded(network: Network) -> Network:
    mapped = folded(network.network_address)
    if mapped is network.network_address or network.prefixlen < _MAPPED_BITS:
        return network
    return _network(mapped, network.prefixlen - _MAPPED_BITS)


def _network(address: Address, prefix: int) -> Network:
    if isinstance(address, IPv4Address):
        return IPv4Network((address, prefix), strict=False)
    return IPv6Network((address, prefix), strict=False)


def _place(address: Address) -> int:
    plain = folded(address)
    return int(plain) - _IPV4_SHIFT if isinstance(plain, IPv4Address) else int(plain)


# The same addresses come again and again, and parsing one costs more than the bisection does.
@lru_cache(maxsize=4096)
def _position(text: str) -> int | None:
    place = _canonical_place(text)
    if place is not None:
        return place
    address = parse_address(text)
    return None if address is None else _place(address)


def _canonical_place(text: str) -> int | None:
    """Return the place of an address in its canonical spelling; None for any other text, whether an address or not.

    A tenth of the time of `parse_address`. What `inet_pton` takes beyond that spelling depends on the system.
    """
    family = AF_INET6 if ":" in text else AF_INET
    try:
        packed = inet_pton(family, text)
        if inet_ntop(family, packed) != text:
            return None
    except (OSError, ValueError):
        return None
    number = int.from_bytes(packed, "big")
    if family is AF_INET or number >> _IPV4_BITS == _MAPPED:
        return number % _IPV4_SHIFT - _IPV4_SHIFT
    return number


def _range_of(network: Network) -> tuple[int, int]:
    return _place(network.network_address), _place(network.broadcast_address)


def _stored_range(text: str) -> tuple[int, int] | None:
    """Return the range of a network in its canonical spelling; None for any other, and near the mapped addresses."""
    address, _, prefix = text.partition("/")
    start = _canonical_place(address)
    if start is None or 0 <= start < _BEYOND_MAPPED or not prefix.isdigit():
        return None
    return start, start + (1 << ((_IPV4_BITS if start < 0 else _IPV6_BITS) - int(prefix))) - 1


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges in ascending order that neither overlap nor touch."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + 1:
            first, last = merged[-1]
            merged[-1] = (first, max(last, end))
        else:
            merged.append((start, end))
    return merged


EVERYWHERE: Final = AllowList((IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))
