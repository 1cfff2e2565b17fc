"""Whose address counts. Every test trusts 10.0.0.0/8 and 2001:db8:f::/48; 127.0.0.1 only where a test says so."""

import time

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from gql_secrets.api.web.client_address import (
    MAX_CHAIN,
    AddressUnclear,
    TrustedProxies,
    client_address,
    find_source,
)
from gql_secrets.domain.errors import Forbidden, SetupError
from gql_secrets.domain.networks import normalised

TRUSTED = TrustedProxies.parse("10.0.0.0/8, 2001:db8:f::/48")
PROXY = "10.0.0.1"
REFUSED = None

XFF = "X-Forwarded-For"
FWD = "Forwarded"


def told(peer: str | None, *headers: tuple[str, str], trusted: TrustedProxies = TRUSTED) -> str | None:
    """The client's address, or None where the call is refused."""
    try:
        return client_address(peer, CIMultiDictProxy(CIMultiDict(headers)), trusted)
    except AddressUnclear:
        return REFUSED


X_FORWARDED_FOR = [
    # The plain shapes of an address.
    ("192.0.2.1", "192.0.2.1"),
    ("192.0.2.1:443", "192.0.2.1"),
    ("192.0.2.1:0", "192.0.2.1"),
    ("192.0.2.1:65535", "192.0.2.1"),
    (" 192.0.2.1 ", "192.0.2.1"),
    ("\t192.0.2.1\t", "192.0.2.1"),
    ("2001:db8::1", "2001:db8::1"),
    ("[2001:db8::1]", "2001:db8::1"),
    ("[2001:db8::1]:443", "2001:db8::1"),
    ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
    ("::1", "::1"),
    ("[::]", "::"),
    # IPv4 in IPv6 spelling is IPv4.
    ("::ffff:192.0.2.1", "192.0.2.1"),
    ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
    ("::ffff:c000:201", "192.0.2.1"),
    ("::FFFF:192.0.2.1", "192.0.2.1"),
    # The walk: from the right, over trusted hops, to the first that is not.
    ("192.0.2.1, 10.0.0.2", "192.0.2.1"),
    ("192.0.2.1,10.0.0.2,10.0.0.3", "192.0.2.1"),
    ("192.0.2.1, ::ffff:10.0.0.2", "192.0.2.1"),
    ("192.0.2.1, 2001:db8:f::7", "192.0.2.1"),
    ("192.0.2.1, [2001:db8:f::7]:8080, 10.0.0.2:1", "192.0.2.1"),
    ("203.0.113.9, 192.0.2.1", "192.0.2.1"),
    ("10.0.0.9, 192.0.2.1", "192.0.2.1"),
    ("127.0.0.1, 192.0.2.1", "192.0.2.1"),
    ("203.0.113.9, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
    ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
    # Everything to the left of the caller's address was written by the caller: it is not read.
    ("unknown, 192.0.2.1", "192.0.2.1"),
    ("<script>, 192.0.2.1", "192.0.2.1"),
    (", 192.0.2.1", "192.0.2.1"),
    (",,,, 192.0.2.1", "192.0.2.1"),
    ('"192.0.2.9, 192.0.2.1', "192.0.2.1"),
    ("fe80::1%eth0, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
    # What the walk meets and cannot read refuses the call.
    ("", REFUSED),
    (" ", REFUSED),
    (",", REFUSED),
    ("192.0.2.1,", REFUSED),
    ("192.0.2.1, , 10.0.0.2", REFUSED),
    ("unknown", REFUSED),
    ("192.0.2.1, unknown", REFUSED),
    ("unknown, 10.0.0.2", REFUSED),
    ("_hidden", REFUSED),
    ("unix:", REFUSED),
    ("localhost", REFUSED),
    ("192.0.2.1:", REFUSED),
    ("192.0.2.1:65536", REFUSED),
    ("192.0.2.1:-1", REFUSED),
    ("192.0.2.1:+80", REFUSED),
    ("192.0.2.1:\N{ARABIC-INDIC DIGIT EIGHT}", REFUSED),
    ("192.0.2.1:80:80", REFUSED),
    ("192.0.2.1 192.0.2.2", REFUSED),
    ("192.0.2.1;192.0.2.2", REFUSED),
    ("192.0.2.0/24", REFUSED),
    ("192.0.2", REFUSED),
    ("192.0.2.256", REFUSED),
    ("192.0.2.01", REFUSED),
    ("0xc0000201", REFUSED),
    ("3221225985", REFUSED),
    ("[192.0.2.1]", REFUSED),
    ("[192.0.2.1]:80", REFUSED),
    ("[2001:db8::1", REFUSED),
    ("2001:db8::1]", REFUSED),
    ("[[2001:db8::1]]", REFUSED),
    ("[2001:db8::1]80", REFUSED),
    ("[2001:db8::1]:", REFUSED),
    ("[2001:db8::1]:99999", REFUSED),
    ("[]", REFUSED),
    ("[]:80", REFUSED),
    (":80", REFUSED),
    ("2001:db8::g", REFUSED),
    ("2001:db8:::1", REFUSED),
    ("1:2:3:4:5:6:7:8:9", REFUSED),
    ("fe80::1%eth0", REFUSED),
    ("[fe80::1%25eth0]:80", REFUSED),
    ("10.0.0.2%1", REFUSED),
    ('"192.0.2.1"', REFUSED),
    ("for=192.0.2.1", REFUSED),
    ("192.0.2.1\x00", REFUSED),
    ("192.0.2.1\N{NO-BREAK SPACE}", REFUSED),
    ("\N{ARABIC-INDIC DIGIT ONE}92.0.2.1", REFUSED),
]

FORWARDED = [
    # RFC 7239's own examples, and the plain shapes.
    ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
    ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
    ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
    ('for="_gazonk"', REFUSED),
    ("FOR=192.0.2.1", "192.0.2.1"),
    ('for="192.0.2.1"', "192.0.2.1"),
    ('for="192.0.2.1:8080"', "192.0.2.1"),
    ('for="192.0.2.1:_port"', "192.0.2.1"),
    ('for="[2001:db8::1]"', "2001:db8::1"),
    ('for="[2001:db8::1]:_a.b-c"', "2001:db8::1"),
    ('for="[::ffff:192.0.2.1]"', "192.0.2.1"),
    ('for="192.0.\\2.1"', "192.0.2.1"),
    ("proto=https;for=192.0.2.1", "192.0.2.1"),
    ("for=192.0.2.1 ; proto=https", "192.0.2.1"),
    ("for=192.0.2.1;", "192.0.2.1"),
    (";for=192.0.2.1", "192.0.2.1"),
    ('for=192.0.2.1;host="a,b;c"', "192.0.2.1"),
    ('for=192.0.2.1;host="a\\"b"', "192.0.2.1"),
    ('for=192.0.2.1;host=""', "192.0.2.1"),
    ("  for=192.0.2.1\t", "192.0.2.1"),
    # The walk.
    ("for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
    ('for=192.0.2.1,for="[2001:db8:f::1]:80",for=10.0.0.2;by=10.0.0.1', "192.0.2.1"),
    ("for=203.0.113.9, for=192.0.2.1;proto=https, for=10.0.0.2", "192.0.2.1"),
    ("for=_hidden, for=192.0.2.1", "192.0.2.1"),
    ("for=unknown, for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
    ("proto=https, for=192.0.2.1", "192.0.2.1"),
    (", for=192.0.2.1", "192.0.2.1"),
    ("for=10.0.0.3, for=10.0.0.2", "10.0.0.3"),
    # Well written, and names no address.
    ("for=unknown", REFUSED),
    ("for=Unknown", REFUSED),
    ('for="unknown:80"', REFUSED),
    ("for=_SEVKISEK", REFUSED),
    ('for="_hidden:_port"', REFUSED),
    ("for=192.0.2.1, for=unknown", REFUSED),
    ("for=192.0.2.1, for=_proxy", REFUSED),
    ("proto=https;by=203.0.113.43", REFUSED),
    ("for=192.0.2.1, proto=https", REFUSED),
    ('for=""', REFUSED),
    ("", REFUSED),
    (" , ", REFUSED),
    ("for=192.0.2.1,", REFUSED),
    # Not as the RFC writes it: the whole header is not to be trusted.
    ("192.0.2.1", REFUSED),
    ("for", REFUSED),
    ("for=", REFUSED),
    ("for= 192.0.2.1", REFUSED),
    ("for =192.0.2.1", REFUSED),
    ("for=192.0.2.1:80", REFUSED),
    ("for=[2001:db8::1]", REFUSED),
    ("for=2001:db8::1", REFUSED),
    ('for="2001:db8::1"', REFUSED),
    ('for="[192.0.2.1]"', REFUSED),
    ('for="[fe80::1%eth0]"', REFUSED),
    ("for=192.0.2.1;for=192.0.2.2", REFUSED),
    ("for=192.0.2.1;FOR=192.0.2.1", REFUSED),
    ("for=192.0.2.1 for=192.0.2.2", REFUSED),
    ('for="192.0.2.1', REFUSED),
    ('for="192.0.2.1"x', REFUSED),
    ('for=x"192.0.2.1"', REFUSED),
    ("for='192.0.2.1'", REFUSED),
    ('for="192.0.2.1\\"', REFUSED),
    ('host="a\x07b";for=192.0.2.1', REFUSED),
    # A caller leaves something open in front of what the proxy appends.
    ('for=10.0.0.9;host=", for=192.0.2.1', REFUSED),
    ('for=203.0.113.9;host=", for="[2001:db8::1]"', REFUSED),
    ('for=203.0.113.9;host="\\, for="[2001:db8::1]"', REFUSED),
    ("for=203.0.113.9;host, for=192.0.2.1", REFUSED),
    ("for=203.0.113.9;, for=192.0.2.1", "192.0.2.1"),
]


def test_the_tables_are_as_long_as_promised() -> None:
    assert len(X_FORWARDED_FOR) + len(FORWARDED) >= 60


@pytest.mark.parametrize(("line", "address"), X_FORWARDED_FOR)
def test_x_forwarded_for(line: str, address: str | None) -> None:
    assert told(PROXY, (XFF, line)) == address


@pytest.mark.parametrize(("line", "address"), FORWARDED)
def test_forwarded(line: str, address: str | None) -> None:
    assert told(PROXY, (FWD, line)) == address


@pytest.mark.parametrize("line", [line for line, _ in X_FORWARDED_FOR])
def test_only_a_trusted_proxy_can_report_an_address(line: str) -> None:
    """Anyone can send the header: from anyone else it counts for nothing, not even for a refusal."""
    for peer in ("192.0.2.66", "127.0.0.1", "2001:db8::66", "11.0.0.1"):
        assert told(peer, (XFF, line)) == peer
        assert told(peer, (FWD, f"for={line}")) == peer
        assert told(peer, (XFF, line), trusted=TrustedProxies.parse("")) == peer


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("192.0.2.66", "192.0.2.66"),
        ("::ffff:192.0.2.66", "192.0.2.66"),
        ("2001:DB8::66", "2001:db8::66"),
        ("fe80::1%eth0", "fe80::1"),
        (PROXY, PROXY),
        ("::ffff:10.0.0.1", PROXY),
        ("/run/gateway.sock", REFUSED),
        ("localhost", REFUSED),
    ],
)
def test_without_a_header_the_peer_is_the_caller(peer: str, address: str | None) -> None:
    assert told(peer) == address


def test_a_trusted_proxy_that_connects_over_ipv6_in_ipv4_is_trusted_too() -> None:
    assert told("::ffff:10.0.0.1", (XFF, "192.0.2.1")) == "192.0.2.1"
    assert told("2001:db8:f::1", (XFF, "192.0.2.1")) == "192.0.2.1"


def source_of(peer: str, trusted: TrustedProxies, **headers: str) -> tuple[str | None, str | None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return find_source(make_mocked_request("GET", "/", headers=named).clone(remote=peer), trusted).source


def test_a_peer_that_is_known_gets_the_source_of_each_of_its_requests() -> None:
    assert source_of("192.0.2.7", TRUSTED, User_Agent="a") == ("192.0.2.7", "a")
    assert source_of("192.0.2.7", TRUSTED, User_Agent="b", X_Forwarded_For="192.0.2.1") == ("192.0.2.7", "b")
    assert source_of("::ffff:192.0.2.7", TRUSTED, User_Agent="a") == ("192.0.2.7", "a")
    assert source_of("192.0.2.7", TRUSTED) == ("192.0.2.7", None)
    assert source_of(PROXY, TRUSTED, User_Agent="a", X_Forwarded_For="192.0.2.1") == ("192.0.2.1", "a")
    assert source_of(PROXY, TRUSTED, User_Agent="a", X_Forwarded_For="192.0.2.2") == ("192.0.2.2", "a")
    assert source_of("192.0.2.7", TrustedProxies.parse("192.0.2.7"), X_Forwarded_For="192.0.2.1") == ("192.0.2.1", None)


def test_proxies_that_are_read_again_hold_for_known_peers() -> None:
    trusted = TrustedProxies.parse("")
    for text, address in (("", PROXY), ("10.0.0.0/8", "192.0.2.1"), ("10.0.0.2", PROXY)):
        trusted.become(TrustedProxies.parse(text))
        assert source_of(PROXY, trusted, X_Forwarded_For="192.0.2.1") == (address, None)


def test_a_link_local_peer_is_never_a_trusted_proxy() -> None:
    """The same link-local address may exist on every link."""
    trusted = TrustedProxies.parse("fe80::/10")

    assert told("fe80::1%eth0", (XFF, "192.0.2.1"), trusted=trusted) == "fe80::1"


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        # Several lines of one header are one list, in their order.
        ([(XFF, "203.0.113.9"), (XFF, "192.0.2.1")], "192.0.2.1"),
        ([(XFF, "192.0.2.1"), (XFF, "10.0.0.2")], "192.0.2.1"),
        ([(XFF, "192.0.2.1, 10.0.0.3"), ("x-forwarded-for", "10.0.0.2")], "192.0.2.1"),
        ([(XFF, "garbage"), (XFF, "192.0.2.1")], "192.0.2.1"),
        ([(XFF, "192.0.2.1"), (XFF, "")], REFUSED),
        ([(FWD, "for=203.0.113.9"), (FWD, "for=192.0.2.1")], "192.0.2.1"),
        ([(FWD, "for=192.0.2.1"), ("forwarded", "for=10.0.0.2")], "192.0.2.1"),
        # A quote left open on one line does not reach into the next.
        ([(FWD, 'for=203.0.113.9;host="'), (FWD, 'for="[2001:db8::1]"')], REFUSED),
        ([(FWD, 'host="'), (FWD, '", for=192.0.2.1')], REFUSED),
        # Both headers: they must tell the same.
        ([(XFF, "192.0.2.1"), (FWD, "for=192.0.2.1")], "192.0.2.1"),
        ([(XFF, "2001:db8::1"), (FWD, 'for="[2001:DB8:0::1]:80"')], "2001:db8::1"),
        ([(XFF, "::ffff:192.0.2.1"), (FWD, "for=192.0.2.1")], "192.0.2.1"),
        ([(XFF, "192.0.2.1, 10.0.0.2"), (FWD, "for=192.0.2.1")], "192.0.2.1"),
        ([(XFF, "192.0.2.1"), (FWD, "for=192.0.2.2")], REFUSED),
        ([(FWD, "for=192.0.2.1"), (XFF, "192.0.2.2")], REFUSED),
        ([(XFF, "192.0.2.1"), (FWD, "for=203.0.113.9, for=192.0.2.2")], REFUSED),
        ([(XFF, "192.0.2.1"), (FWD, "for=10.0.0.2")], REFUSED),
        ([(XFF, "192.0.2.1"), (FWD, "proto=https")], REFUSED),
        ([(XFF, "192.0.2.1"), (FWD, "for=unknown")], REFUSED),
        ([(XFF, "192.0.2.1"), (FWD, "")], REFUSED),
        ([(XFF, "unknown"), (FWD, "for=192.0.2.1")], REFUSED),
        # Other headers of the kind say nothing here.
        ([("X-Real-IP", "192.0.2.1")], PROXY),
        ([("True-Client-IP", "192.0.2.1"), ("X-Client-IP", "192.0.2.1")], PROXY),
        ([("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "api.example")], PROXY),
    ],
)
def test_several_headers(headers: list[tuple[str, str]], address: str | None) -> None:
    assert told(PROXY, *headers) == address


def test_a_huge_header_is_refused_quickly() -> None:
    fits = "203.0.113.9," * 340 + "192.0.2.1"
    assert MAX_CHAIN - 12 < len(fits) <= MAX_CHAIN
    assert told(PROXY, (XFF, fits)) == "192.0.2.1"

    started = time.process_time()
    for line in (
        "10.0.0.2," * 1_000_000,
        " " * 10_000_000,
        "for=10.0.0.2," * 1_000_000,
        '"' * 10_000_000,
        "=" * 9_999_999,
    ):
        assert told(PROXY, (XFF, line)) is REFUSED
        assert told(PROXY, (FWD, line)) is REFUSED
    assert told(PROXY, *[(XFF, "10.0.0.2")] * 1000) is REFUSED
    assert told(PROXY, *[(FWD, "for=10.0.0.2")] * 1000) is REFUSED
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    "filler", ['"', "\\", '"\\', "a", " ", "\t;", "a=", 'a="', 'a="\\', ",", ";", "for=_,", "[", ":"]
)
def test_no_header_of_allowed_length_takes_long_to_read(filler: str) -> None:
    """Backtracking would show here as seconds."""
    line = filler * (MAX_CHAIN // len(filler))

    started = time.process_time()
    assert told(PROXY, (FWD, line)) is REFUSED
    assert told(PROXY, (FWD, 'for="' + line[5:])) is REFUSED
    assert told(PROXY, (XFF, line)) is REFUSED
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("peer", [None, ""])
def test_a_unix_socket_is_trusted_only_where_the_setting_says_unix(peer: str | None) -> None:
    trusted = TrustedProxies.parse("unix, 10.0.0.0/8")

    assert told(peer, (XFF, "192.0.2.1")) is REFUSED
    assert told(peer) is REFUSED
    assert told(peer, (XFF, "192.0.2.1"), trusted=trusted) == "192.0.2.1"
    assert told(peer, (XFF, "192.0.2.1, 10.0.0.2"), trusted=trusted) == "192.0.2.1"
    assert told(peer, (XFF, "203.0.113.9, 192.0.2.1"), trusted=trusted) == "192.0.2.1"
    assert told(peer, (FWD, "for=192.0.2.1"), trusted=TrustedProxies.parse("UNIX")) == "192.0.2.1"
    assert told(peer, trusted=trusted) is REFUSED


def test_unclear_is_a_refusal_that_every_surface_knows() -> None:
    with pytest.raises(AddressUnclear) as raised:
        client_address(PROXY, CIMultiDict({XFF: "<script>alert(1)</script>"}), TRUSTED)

    assert isinstance(raised.value, Forbidden)
    assert raised.value.reason == "ADDRESS"
    assert "script" not in str(raised.value)


@pytest.mark.parametrize(
    ("setting", "trusts", "does_not"),
    [
        ("", [], ["127.0.0.1", "10.0.0.1"]),
        ("  ", [], ["127.0.0.1"]),
        ("127.0.0.1", ["127.0.0.1", "::ffff:127.0.0.1"], ["127.0.0.2", "::1"]),
        ("127.0.0.1,::1", ["127.0.0.1", "::1"], ["::2"]),
        (" 10.0.0.0/8 ,\t172.16.0.0/12 ", ["10.9.9.9", "172.31.0.1"], ["172.32.0.0"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3"], ["11.0.0.1"]),
        ("unix", [], ["127.0.0.1", ""]),
    ],
)
def test_the_setting(setting: str, trusts: list[str], does_not: list[str]) -> None:
    trusted = TrustedProxies.parse(setting)

    assert [a for a in trusts if not trusted.trusts(a)] == []
    assert [a for a in does_not if trusted.trusts(a)] == []


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("10.0.0.1/8", "Write 10.0.0.0/8 for the whole network"),
        ("10.0.0.0/8,", "Write an IPv4 or IPv6 network"),
        (",", "Write an IPv4 or IPv6 network"),
        ("10.0.0.0/8;127.0.0.1", "After the slash"),
        ("10.0.0.0/8 127.0.0.1", "After the slash"),
        ("*", '"*": Write an IPv4 or IPv6 network'),
        ("gateway.internal", "Write an IPv4 or IPv6 network"),
        ("0.0.0.0/0", "would let callers choose their own address"),
        ("10.0.0.0/8,::/0", "would let callers choose their own address"),
        ("0.0.0.0/1,128.0.0.0/1", "would let callers choose their own address"),
        ("0.0.0.0/2, 64.0.0.0/2, 128.0.0.0/2", "would let callers choose their own address"),
        ("2000::/3", "would let callers choose their own address"),
        ("::ffff:0:0/96", "would let callers choose their own address"),
        (",".join(f"10.0.{i}.0/24" for i in range(101)), "at most 100"),
    ],
)
def test_a_setting_that_cannot_be_meant_stops_the_start(setting: str, sentence: str) -> None:
    with pytest.raises(SetupError, match=r"^GQL_SECRETS_TRUSTED_PROXIES: ") as raised:
        TrustedProxies.parse(setting)
    assert sentence in str(raised.value)


ADDRESSES = st.ip_addresses().map(str)
NOISE = st.text(st.characters(exclude_characters="\r\n", max_codepoint=0x2FF), max_size=80)
SHAPED = st.text('for="[]:;,=_\\ unkow0123456789abcdef.%', max_size=80)


@given(NOISE | SHAPED, ADDRESSES.filter(lambda a: not TRUSTED.trusts(a)))
def test_no_header_of_a_caller_changes_what_the_proxy_appends(forged: str, address: str) -> None:
    expected = normalised(address)

    assert told(PROXY, (XFF, f"{forged}, {address}")) == expected
    assert told(PROXY, (XFF, forged), (XFF, address)) == expected
    node = f'"[{address}]:80"' if ":" in address else address
    assert told(PROXY, (FWD, f"{forged}, for={node}")) in {expected, REFUSED}
    assert told(PROXY, (FWD, forged), (FWD, f"for={node}")) in {expected, REFUSED}
    assert told(PROXY, (XFF, address), (FWD, forged)) in {expected, REFUSED}


@given(st.none() | ADDRESSES | NOISE, st.lists(st.tuples(st.sampled_from([XFF, FWD]), NOISE | SHAPED), max_size=4))
def test_every_call_has_one_clear_address_or_is_refused(peer: str | None, headers: list[tuple[str, str]]) -> None:
    address = told(peer, *headers)

    assert address is REFUSED or address == normalised(address)


@given(ADDRESSES, st.lists(st.sampled_from(["10.0.0.2", "2001:db8:f::1", "::ffff:10.1.1.1"]), max_size=5))
def test_any_number_of_trusted_hops_leads_to_the_same_caller(address: str, hops: list[str]) -> None:
    chain = [address, *hops]
    nodes = [f'for="[{hop}]"' if ":" in hop else f"for={hop}" for hop in chain]

    assert told(PROXY, (XFF, ", ".join(chain))) == normalised(address)
    assert told(PROXY, (FWD, ", ".join(nodes))) == normalised(address)
    assert told(PROXY, *[(XFF, hop) for hop in chain], (FWD, ",".join(nodes))) == normalised(address)
