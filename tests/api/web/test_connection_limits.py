"""Which connection is closed when there is one too many."""

from gql_secrets.api.web.connection_limits import AddressShare, ConnectionTable


class Connections:
    """A table of connections that are only names: `address/number`."""

    def __init__(self) -> None:
        self.table: ConnectionTable[str] = ConnectionTable()
        self.shares: dict[str, AddressShare[str]] = {}
        self.busy: set[str] = set()

    def open(self, *names: str, is_trusted: bool = False, has_asked: bool = True) -> None:
        for name in names:
            share = self.table.add(name, name.partition("/")[0], is_protected=is_trusted)
            self.shares[name] = share
            if has_asked:
                share.head_arrived(name)

    def sign_in(self, name: str) -> None:
        self.shares[name] = self.table.protect(name, self.shares[name])

    def close_one(self, newcomer: str) -> str:
        self.open(newcomer, has_asked=False)
        chosen = self.table.choose_to_close(newcomer, lambda name: name in self.busy)
        self.table.remove(chosen, self.shares[chosen])
        return chosen


def test_an_address_with_more_connections_gives_way_before_one_with_fewer() -> None:
    all_ = Connections()
    all_.open("a/1", "b/1", "b/2", "b/3", "a/2")
    assert [all_.close_one(f"c{number}/1") for number in range(2)] == ["b/1", "a/1"]
    assert len(all_.table) == 5


def test_unfinished_heads_go_before_idle_connections() -> None:
    all_ = Connections()
    all_.open("a/1", "a/2")
    all_.open("a/3", "a/4", has_asked=False)
    assert [all_.close_one(f"b{number}/1") for number in range(3)] == ["a/3", "a/4", "a/1"]


def test_an_idle_connection_goes_before_one_that_asked_later_and_a_busy_one_goes_last() -> None:
    all_ = Connections()
    all_.open("a/1", "a/2", "a/3")
    all_.busy.add("a/1")
    all_.shares["a/2"].head_arrived("a/2")
    assert [all_.close_one(f"b{number}/1") for number in range(2)] == ["a/3", "a/2"]


def test_a_connection_that_begins_another_head_owes_one() -> None:
    all_ = Connections()
    all_.open("a/1", "a/2")
    all_.shares["a/2"].head_began("a/2")
    assert all_.close_one("b/1") == "a/2"


def test_the_newcomer_goes_only_where_all_others_of_its_address_are_busy() -> None:
    all_ = Connections()
    all_.open("a/1", "a/2")
    assert all_.close_one("a/3") == "a/1"
    all_.busy |= {"a/2"}
    assert all_.close_one("a/4") == "a/3"
    all_.busy |= {"a/4"}
    all_.shares["a/4"].head_arrived("a/4")
    assert all_.close_one("a/5") == "a/5"


def test_trusted_proxies_and_signed_in_callers_give_way_last() -> None:
    all_ = Connections()
    all_.open("p/1", "p/2", "p/3", is_trusted=True)
    all_.open("a/1", "a/2", "a/3", "b/1")
    all_.sign_in("a/1")
    all_.sign_in("a/1")
    assert {all_.close_one(f"c{number}/1") for number in range(4)} == {"a/2", "a/3", "b/1", "c0/1"}


def test_only_protected_connections_and_a_newcomer_leave_the_largest_protected_address() -> None:
    all_ = Connections()
    all_.open("p/1", "p/2", is_trusted=True)
    all_.open("a/1")
    all_.sign_in("a/1")
    assert all_.close_one("n/1") == "p/1"


def test_a_connection_is_removed_once() -> None:
    all_ = Connections()
    all_.open("a/1")
    for _ in range(2):
        all_.table.remove("a/1", all_.shares["a/1"])
    assert len(all_.table) == 0


def test_a_connection_that_was_removed_is_not_counted_again() -> None:
    """A caller may leave before it is known who it is."""
    all_ = Connections()
    all_.open("a/1")
    all_.table.remove("a/1", all_.shares["a/1"])
    all_.sign_in("a/1")
    assert len(all_.table) == 0
