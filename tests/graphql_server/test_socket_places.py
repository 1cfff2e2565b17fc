"""When all places for WebSockets are taken, the largest share gives way, anonymous sockets first."""

import asyncio

import pytest
from aiohttp import WSMessage, WSMsgType
from support.toy_graphql import Context, make_endpoint

from gql_secrets.graphql_server.socket_limits import MessageRate, SocketLimits
from gql_secrets.graphql_server.socket_places import GivingWay, NoPlace, Reason, SocketPlaces
from gql_secrets.graphql_server.websocket import _Conversation

Places = SocketPlaces[str]


def fill(places: Places, *shares: str | None, anonymous: bool = False) -> None:
    """Take places in this order; each socket is named by its share and its number."""
    for number, share in enumerate(shares):
        assert places.take(f"{share}{number}", share, is_anonymous=anonymous) is None


def test_shares_do_not_count_while_there_is_a_place() -> None:
    """An office behind one address is not an attacker."""
    places = Places(10, 0)
    fill(places, *["office"] * 10, anonymous=True)
    assert len(places) == 10


def test_the_address_with_the_most_anonymous_sockets_gives_way() -> None:
    places = Places(4, 0)
    fill(places, "honest", "flood", "flood", "flood", anonymous=True)

    assert places.take("owner", "owner", is_anonymous=False) == GivingWay("flood1", Reason.ADDRESS_HOLDS_MOST)
    assert places.take("new", "new", is_anonymous=True) == GivingWay("flood2", Reason.ADDRESS_HOLDS_MOST)
    assert list(places) == ["honest0", "flood3", "owner", "new"]


def test_an_address_that_holds_the_most_makes_room_for_itself() -> None:
    places = Places(3, 0)
    fill(places, "honest", "flood", "flood", anonymous=True)

    assert places.take("more", "flood", is_anonymous=True) == GivingWay("flood1", Reason.ADDRESS_HOLDS_MOST)


def test_without_forwarded_addresses_there_is_no_share_by_address() -> None:
    places = Places(3, 0)
    fill(places, None, None, "forwarded", anonymous=True)

    giving_way = places.take("owner", "owner", is_anonymous=False)
    assert giving_way == GivingWay("None0", Reason.OLDEST_WITHOUT_FORWARDED_ADDRESS)


def test_an_anonymous_socket_gives_way_before_a_signed_in_one() -> None:
    places = Places(4, 1)
    fill(places, "viewer", "viewer")
    fill(places, "other", "another", anonymous=True)

    giving_way = places.take("owner", "owner", is_anonymous=False)
    assert giving_way is not None
    assert giving_way.socket == "other0"


def test_an_anonymous_newcomer_never_displaces_a_caller() -> None:
    places = Places(2, 0)
    fill(places, "viewer", "viewer")

    with pytest.raises(NoPlace):
        places.take("new", "new", is_anonymous=True)
    assert len(places) == 2


def test_the_caller_with_the_most_sockets_gives_way_to_another_one() -> None:
    places = Places(5, 1)
    fill(places, "ada", "viewer", "viewer", "viewer")

    assert places.take("owner", "owner", is_anonymous=False) == GivingWay("viewer1", Reason.CALLER_HOLDS_MOST)
    assert places.take("ada", "ada", is_anonymous=False) == GivingWay("ada0", Reason.CALLER_HOLDS_MOST)


def test_a_socket_counts_for_its_caller_from_the_sign_in_on() -> None:
    places = Places(4, 1)
    fill(places, "viewer", "viewer", "viewer")
    assert places.take("new", None, is_anonymous=True) is None

    assert places.sign_in("new", "owner") == GivingWay("viewer0", Reason.CALLER_HOLDS_MOST)
    assert places.sign_in("new", "owner") is None
    assert places.sign_in("viewer0", "viewer") is None  # it gave way


def test_a_place_stays_free_for_a_new_socket_to_sign_in_on() -> None:
    places = Places(3, 1)
    fill(places, "ada", "bob")
    with pytest.raises(NoPlace):
        places.take("carl", "carl", is_anonymous=False)

    assert places.take("new", None, is_anonymous=True) is None


async def test_messages_have_a_rate() -> None:
    rate = MessageRate(per_second=10.0, burst=3)

    assert [rate.count() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert 0.05 < rate.count() <= 0.1
    assert 0.15 < rate.count() <= 0.2


class PingsAlreadyThere:
    """A socket whose messages have all arrived: nothing that the server awaits on it suspends."""

    closed = False

    def __init__(self, count: int) -> None:
        self.left = count

    async def receive(self) -> WSMessage:
        self.left -= 1
        return WSMessage(WSMsgType.TEXT if self.left >= 0 else WSMsgType.CLOSED, '{"type":"ping"}', None)

    async def send_str(self, _text: str) -> None:
        pass


async def test_others_run_between_the_messages_of_a_socket() -> None:
    socket = PingsAlreadyThere(90)
    conversation = _Conversation(
        make_endpoint().engine,
        SocketLimits(),
        None,  # type: ignore[arg-type]
        socket,  # type: ignore[arg-type]
        Context(),  # type: ignore[arg-type]
        lambda *_: None,
    )
    ticks = 0
    task = asyncio.create_task(conversation.run())
    while not task.done():
        ticks += 1
        await asyncio.sleep(0)

    assert ticks > 80
