import ipaddress
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_secrets.domain.error_codes import ErrorCode
from gql_secrets.domain.errors import InvalidAllowList
from gql_secrets.domain.networks import (
    EVERYWHERE,
    Address,
    AllowList,
    InvalidNetwork,
    Network,
    address_block,
    normalised,
    parse_address,
    parse_network,
    stored_allow_list,
)

IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    address = draw(st.one_of(IPV4, IPV6))
    prefix = draw(st.integers(0, address.max_prefixlen))
    return ipaddress.ip_network((address, prefix), strict=False)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/32", "192.0.2.7/32"),
        ("  192.0.2.0/24 ", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("2001:DB8:0:0::/32", "2001:db8::/32"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:c000:207", "192.0.2.7/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::fffe:0:0/95", "::fffe:0:0/95"),
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201/128"),
    ],
)
def test_a_network_is_kept_in_one_spelling(written: str, kept: str) -> None:
    assert AllowList.parse([written]).texts == (kept,)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("10.0.0.1/8", "Write 10.0.0.0/8 for the whole network, or 10.0.0.1/32 for the one address."),
        ("2001:db8::1/32", "Write 2001:db8::/32 for the whole network, or 2001:db8::1/128 for the one address."),
        ("::ffff:10.0.0.1/104", "Write 10.0.0.0/8 for the whole network, or 10.0.0.1/32 for the one address."),
        ("10.0.0.0/33", "a number from 0 to 32"),
        ("2001:db8::/129", "a number from 0 to 128"),
        ("::ffff:0:0/95", "a number from 96 to 128"),
        ("10.0.0.0/", "a number from 0 to 32"),
        ("10.0.0.0/08", "a number from 0 to 32"),
        ("10.0.0.0/+8", "a number from 0 to 32"),
        ("10.0.0.0/٨", "a number from 0 to 32"),
        ("10.0.0.0/255.0.0.0", "a number from 0 to 32"),
        ("10.0.0.0/8/8", "a number from 0 to 32"),
        ("10.0.0", "such as 192.0.2.0/24"),
        ("10", "such as 192.0.2.0/24"),
        ("010.0.0.1", "such as 192.0.2.0/24"),
        ("0x0a.0.0.1", "such as 192.0.2.0/24"),
        ("10.0.0.256", "such as 192.0.2.0/24"),
        ("10.0.0.1:80", "such as 192.0.2.0/24"),
        ("[2001:db8::1]", "such as 192.0.2.0/24"),
        ("fe80::1%eth0", "such as 192.0.2.0/24"),
        ("fe80::%1/10", "such as 192.0.2.0/24"),
        ("", "such as 192.0.2.0/24"),
        ("*", "such as 192.0.2.0/24"),
        ("example.com", "such as 192.0.2.0/24"),
        ("10.0.0.0-10.0.0.9", "such as 192.0.2.0/24"),
        ("10.0.0.0/8,192.0.2.1", "a number from 0 to 32"),
        (167772160, "as a string"),
        (None, "as a string"),
        (["10.0.0.0/8"], "as a string"),
    ],
)
def test_what_is_no_network_is_refused_with_what_to_write_instead(written: object, told: str) -> None:
    with pytest.raises(InvalidNetwork) as raised:
        AllowList.parse(["192.0.2.0/24", written])

    assert told in raised.value.reason
    assert str(raised.value) == f"Network 2: {raised.value.reason}"
    assert raised.value.value == str(written)
    assert raised.value.code is ErrorCode.INVALID_ALLOW_LIST


def test_the_only_network_of_a_list_has_no_number() -> None:
    with pytest.raises(
        InvalidNetwork, match=r"^After the slash, write only the prefix length, a number from 0 to 32\.$"
    ):
        AllowList.parse(["10.0.0.0/33"])


def test_a_refused_text_is_shown_on_one_line_and_never_a_whole_pasted_secret() -> None:
    pasted = "gqls_" + "x" * 49

    with pytest.raises(InvalidNetwork) as raised:
        parse_network(pasted)
    assert pasted not in str(raised.value)
    assert raised.value.value == "gqls_xxxxxxxxxxx…"

    with pytest.raises(InvalidNetwork) as raised:
        parse_network("10.0\r\n\x1b[2J")
    assert raised.value.value == "10.0\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[2J"


@pytest.mark.parametrize("empty", [[], (), iter([])])
def test_an_empty_list_is_refused(empty: Iterable[object]) -> None:
    """Empty would mean "nobody" to one reader and "everybody" to another."""
    with pytest.raises(InvalidAllowList, match="at least one network"):
        AllowList.parse(empty)


def test_a_bare_text_is_not_a_list_of_its_characters() -> None:
    with pytest.raises(InvalidNetwork, match="list of strings"):
        AllowList.parse("::")


def test_a_hundred_networks_are_allowed_and_one_more_is_not() -> None:
    texts = [f"10.0.{i}.0/24" for i in range(101)]

    assert len(AllowList.parse(texts[:100]).texts) == 100
    assert len(AllowList.parse(texts[:100] * 3).texts) == 100
    with pytest.raises(InvalidNetwork, match="at most 100"):
        AllowList.parse(texts)
    with pytest.raises(InvalidNetwork, match="at most 100"):
        AllowList(tuple(ipaddress.ip_network(text) for text in texts))


def test_a_network_written_twice_is_kept_once_in_the_order_given() -> None:
    written = ["192.0.2.1", "10.0.0.0/8", "::ffff:192.0.2.1/128", "192.0.2.1/32"]

    assert AllowList.parse(written).texts == ("192.0.2.1/32", "10.0.0.0/8")


def test_a_list_that_was_made_from_networks_folds_them_too() -> None:
    assert AllowList((ipaddress.ip_network("::ffff:10.0.0.0/104"),)).texts == ("10.0.0.0/8",)


@pytest.mark.parametrize(
    ("texts", "everywhere"),
    [
        (["0.0.0.0/0", "::/0"], True),
        (["::/0", "10.0.0.0/8", "0.0.0.0/0"], True),
        (["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"], True),
        (["0.0.0.0/0"], False),
        (["::/0"], False),
        (["0.0.0.0/0", "::/1"], False),
        (["0.0.0.0/1", "::/0"], False),
    ],
)
def test_everywhere_is_every_ipv4_and_every_ipv6_address(texts: list[str], everywhere: bool) -> None:
    assert AllowList.parse(texts).is_everywhere is everywhere


def test_the_default_lets_every_address_in_and_no_text_that_is_none() -> None:
    assert EVERYWHERE.is_everywhere
    assert EVERYWHERE.texts == ("0.0.0.0/0", "::/0")
    assert AllowList.parse(EVERYWHERE.texts) == EVERYWHERE
    for address in ("0.0.0.0", "255.255.255.255", "::", "ffff:" * 7 + "ffff", "::ffff:1.2.3.4", "fe80::1"):  # noqa: S104
        assert EVERYWHERE.allows(address)
        assert EVERYWHERE.allows(ipaddress.ip_address(address))
    for text in ("", "localhost", "10.0.0.1:80", "10.0.0.0/8", "fe80::1%eth0", "unknown"):
        assert not EVERYWHERE.allows(text)


@pytest.mark.parametrize(
    ("texts", "inside", "outside"),
    [
        (["10.0.0.0/8"], ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["9.255.255.255", "11.0.0.0", "::a00:1"]),
        (["192.0.2.7"], ["192.0.2.7"], ["192.0.2.6", "192.0.2.8"]),
        (["2001:db8::/32"], ["2001:db8::", "2001:db8:ffff::1"], ["2001:db7:ffff::", "2001:db9::", "10.0.0.1"]),
        (["::/0"], ["::", "2001:db8::1", "::1"], ["10.0.0.1", "::ffff:10.0.0.1", "255.255.255.255"]),
        (["0.0.0.0/0"], ["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"], ["::", "::1", "::1.2.3.4"]),  # noqa: S104
        (["10.0.0.0/8", "10.1.0.0/16"], ["10.200.0.1", "10.1.0.1"], ["11.0.0.1"]),
        (["255.255.255.255", "::"], ["255.255.255.255", "::"], ["255.255.255.254", "::1"]),
    ],
)
def test_an_address_is_let_in_if_and_only_if_a_network_holds_it(
    texts: list[str], inside: list[str], outside: list[str]
) -> None:
    allow_list = AllowList.parse(texts)

    assert [a for a in inside if not allow_list.allows(a)] == []
    assert [a for a in outside if allow_list.allows(a)] == []


@given(st.lists(networks(), min_size=1, max_size=20), st.one_of(IPV4, IPV6), st.data())
def test_the_answer_is_that_of_asking_each_network(
    listed: list[Network], anywhere: Address, data: st.DataObject
) -> None:
    allow_list = AllowList.parse([str(network) for network in listed])
    edge = data.draw(st.sampled_from(listed))
    candidates = [anywhere, edge.network_address, edge.broadcast_address]
    candidates += [a + step for a in candidates[1:] for step in (-1, 1) if 0 <= int(a) + step < 2**a.max_prefixlen]
    for candidate in candidates:
        address = parse_address(str(candidate))
        assert address is not None
        expected = any(address in network for network in allow_list.networks)
        assert allow_list.allows(str(candidate)) is expected
        assert allow_list.allows(candidate) is expected


@given(st.lists(networks(), min_size=1, max_size=20), st.one_of(IPV4, IPV6), st.data())
def test_a_stored_list_allows_what_the_list_allowed(
    listed: list[Network], anywhere: Address, data: st.DataObject
) -> None:
    allow_list = AllowList(tuple(listed))
    stored = stored_allow_list(allow_list.texts)
    assert stored.is_everywhere is allow_list.is_everywhere
    edge = data.draw(st.sampled_from(listed))
    candidates = [anywhere, edge.network_address, edge.broadcast_address]
    candidates += [a + step for a in candidates[1:] for step in (-1, 1) if 0 <= int(a) + step < 2**a.max_prefixlen]
    for candidate in candidates:
        assert stored.allows(str(candidate)) is allow_list.allows(candidate)


@pytest.mark.parametrize(
    "texts",
    [EVERYWHERE.texts, ["0.0.0.0/0"], ["::/0"], ["::fffe:0:0/95"], ["::c000:201/128"], ["10.0.0.0/9", "10.128.0.0/9"]],
)
def test_a_stored_list_near_the_mapped_addresses_allows_the_same(texts: list[str]) -> None:
    stored, parsed = stored_allow_list(tuple(texts)), AllowList.parse(texts)
    assert stored.is_everywhere is parsed.is_everywhere
    for address in ("10.0.0.1", "10.200.0.1", "::fffe:1:1", "::ffff:10.0.0.1", "::1", "::192.0.2.1", "2001:db8::1"):
        assert stored.allows(address) is parsed.allows(address)


def spellings(address: Address) -> st.SearchStrategy[str]:
    """Texts of an address, canonical or not, and some that are none."""
    texts = [str(address), address.exploded, address.exploded.upper(), f"0{address}", f"{address} ", f"{address}%1"]
    if isinstance(address, ipaddress.IPv4Address):
        texts += [f"::ffff:{address}", f"::{address}", f"{address}".replace(".", ".0", 1), f"{int(address)}"]
    return st.sampled_from(texts)


@given(
    st.lists(networks(), min_size=1, max_size=5),
    st.one_of(st.one_of(IPV4, IPV6).flatmap(spellings), st.text("0123456789abcdef:.% \x00\ud800", max_size=40)),
)
def test_a_text_is_let_in_as_the_address_that_it_names(listed: list[Network], text: str) -> None:
    address = parse_address(text)
    expected = address is not None and AllowList(tuple(listed)).allows(address)
    assert AllowList(tuple(listed)).allows(text) is expected
    within = [] if address is None else [ipaddress.ip_network(address)]
    assert not within or AllowList(tuple(within)).allows(text)


@given(st.lists(networks(), min_size=1, max_size=20))
def test_what_a_list_shows_reads_back_as_the_same_list(listed: list[Network]) -> None:
    allow_list = AllowList.parse([str(network) for network in listed])

    assert AllowList.parse(allow_list.texts) == allow_list
    assert hash(AllowList.parse(allow_list.texts)) == hash(allow_list)


@given(st.one_of(st.text(max_size=60), st.text("0123456789abcdefABCDEF:./% \t", max_size=60)))
def test_any_text_is_a_network_or_a_refusal_and_never_a_crash(text: str) -> None:
    try:
        network = parse_network(text)
    except InvalidNetwork as raised:
        invalid: InvalidNetwork | None = raised
    else:
        invalid = None
        assert parse_network(str(network)) == network

    assert invalid is None or (invalid.value.isprintable() and invalid.reason.endswith("."))


@given(IPV4)
def test_an_ipv4_address_spelled_as_ipv6_is_that_ipv4_address(address: ipaddress.IPv4Address) -> None:
    assert normalised(f"::ffff:{address}") == str(address)
    assert normalised(f"::FFFF:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}") == str(address)


def test_asking_the_longest_list_takes_microseconds() -> None:
    """Two hundred times the time it takes: it notices a slow list, not a slow machine."""
    allow_list = AllowList.parse([f"10.{i}.0.0/17" for i in range(100)])
    allow_list.allows("10.50.1.1")

    started = time.process_time()
    for _ in range(10_000):
        allow_list.allows("10.50.1.1")
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
    ],
)
def test_of_an_ipv6_address_its_network_is_counted(address: str, counted_as: str) -> None:
    """A caller with one address of a /64 network can use all of them."""
    assert address_block(address) == counted_as
