"""Any sequence of changes, uses, restarts and clocks, held against a reference that knows nothing of the product.

The invariants are those of a rollover: I1 one current secret and at most one old one, I2 exact verdicts, I3 what ended
stays ended, I4 and I5 how long an old secret lives, I6 one audit event for each change in an unbroken chain, I7 only
issued strings, I9 exact first uses, I10 a replay gives the same secret or an error.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.audits import check_chain
from support.callers import ADMIN, OTHER_ADMIN, is_good
from support.clocks import DAYS, HOUR, MICROSECOND, MILLISECOND, MINUTE, NOW, Clock
from support.databases import PostgresServer, SqliteTemplate, temporary_directory
from support.installation import PEPPER

from gql_secrets.domain.access import Caller
from gql_secrets.domain.errors import Refusal
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.pages import PageRequest
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_services

T = TypeVar("T")
CAP = 168 * HOUR
TEN_MINUTES = 10 * MINUTE


# The reference


@dataclass
class Known:
    """A secret as its holder would remember it."""

    maker: str
    made: datetime
    state: str = "CURRENT"
    replaced: datetime | None = None
    expires: datetime | None = None
    used: datetime | None = None

    def end(self, state: str = "REVOKED") -> None:
        self.state = state

    def keep(self, now: datetime, hours: int) -> None:
        self.replaced = self.replaced or now
        self.state, self.expires = "RETAINED", min(now + hours * HOUR, self.replaced + CAP)


@dataclass
class Reference:
    """A client, in thirty lines."""

    id: str
    secrets: dict[str, Known]
    enabled: bool = True
    exists: bool = True
    generation: int = 1
    events: int = 0
    keys: dict[tuple[str, str], tuple[object, str, datetime]] = field(default_factory=dict)

    def one(self, state: str) -> Known | None:
        return next((secret for secret in self.secrets.values() if secret.state == state), None)

    def see(self, now: datetime) -> None:
        """Somebody reads the old secret: if it has expired, that is permanent."""
        old = self.one("RETAINED")
        if old and old.expires and now >= old.expires:
            old.end("EXPIRED")
            self.events += 1

    def reset(self, hours: int, by: str, now: datetime, go_on: bool) -> str | None:
        current, old = self.one("CURRENT"), self.one("RETAINED")
        assert current
        if hours == 0:
            for each in (current, old):
                if each:
                    each.end()
        elif old is None:
            current.keep(now, hours)
        elif not current.used and (go_on or (current.maker == by and now - current.made < HOUR)):
            current.end()
            old.keep(now, hours)
        elif go_on:
            old.end()
            current.keep(now, hours)
        else:
            return "ROLLOVER_IN_PROGRESS"
        return None

    def changed(self) -> None:
        self.generation += 1
        self.events += 1


# The machine

actors = st.sampled_from([ADMIN, OTHER_ADMIN])
hours = st.sampled_from([0, 0, 1, 2, 24, 167, 168])
steps = [MICROSECOND, MILLISECOND, MINUTE, TEN_MINUTES - MICROSECOND, TEN_MINUTES, HOUR - MICROSECOND, HOUR, DAYS, CAP]
moves = st.sampled_from([*steps, -MICROSECOND, -MILLISECOND, -HOUR, -DAYS, -8 * DAYS])
numbers = st.integers(0, 10**6)
nodes = st.integers(0, 1)
which = st.sampled_from([0, 0, 0, 1])  # most of what happens, happens to one client
keys = st.sampled_from([None, None, "one key of many characters", "another key for a reset"])


class Rollovers(RuleBasedStateMachine):
    """Two clients of one installation on two nodes, as a caller sees them."""

    make_url: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = temporary_directory()
        self.clock = Clock()
        self.latest = NOW
        url, self.drop = type(self).make_url(Path(self.directory.name))
        self.settings = Settings(data_dir=Path(self.directory.name), database_url=url, pepper=PEPPER)
        self.nodes: list[Services] = []
        self.clients: list[Reference] = []
        self.other_events = 1  # the first owner
        self.states: dict[int, str] = {}
        self.resets: list[tuple[int, int, Caller, bool, str | None, int | None]] = []
        self.last_used: dict[int, datetime] = {}

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(30):  # never a hang
                return await coroutine

        return self.runner.run(bounded())

    def teardown(self) -> None:
        if self.nodes:
            self.run(check_chain(self.nodes[0]))
        for node in self.nodes:
            self.run(node.close())
        self.runner.close()
        self.drop()
        self.directory.cleanup()

    @property
    def now(self) -> datetime:
        return self.clock.now

    def node(self, number: int) -> Services:
        return self.nodes[number]

    def client(self, number: int) -> Reference:
        return self.clients[-2:][number]

    async def told(self, act: Coroutine[Any, Any, T]) -> T | str:
        try:
            return await act
        except Refusal as refusal:
            return refusal.code.value

    @initialize()
    def start(self) -> None:
        for _ in range(2):
            self.nodes.append(self.run(open_services(self.settings, adjust_clock=self.clock)))
        for _ in range(2):
            self.create(0, ADMIN)

    @precondition(lambda self: len([client for client in self.clients if client.exists]) < 2)
    @rule(node=nodes, by=actors)
    def create(self, node: int, by: Caller) -> None:
        made = self.run(self.node(node).clients.create_client("Shop", by=by))
        secrets = {made.secret.reveal(): Known(by.actor, self.now)}
        self.clients.append(Reference(made.client.client_id, secrets, events=1))

    @rule(by_time=moves)
    def move_the_clock(self, by_time: timedelta) -> None:
        self.clock.move(by_time)
        self.latest = max(self.latest, self.now)

    @rule(client=which, offset=st.sampled_from([-MILLISECOND, -MICROSECOND, timedelta(), MILLISECOND]))
    def move_the_clock_to_an_expiry(self, client: int, offset: timedelta) -> None:
        old = self.client(client).one("RETAINED")
        if old and old.expires:
            self.move_the_clock(old.expires + offset - self.now)

    @rule(
        node=nodes,
        client=which,
        hours=hours,
        by=actors,
        go_on=st.booleans(),
        key=keys,
        generation=st.sampled_from([None, None, None, 0, -1]),
    )
    def reset(
        self, node: int, client: int, hours: int, by: Caller, go_on: bool, key: str | None, generation: int | None
    ) -> None:
        self.resets.append((client, hours, by, go_on, key, generation))
        known = self.client(client)
        if_generation = None if generation is None else known.generation + generation
        in_use = [text for text, secret in known.secrets.items() if secret.used and self.is_good(known, text)]
        answer = self.run(
            self.told(
                self.node(node).rotation.reset_secret(
                    known.id,
                    Retention(hours),
                    by=by,
                    end_active_rollover=go_on,
                    idempotency_key=key,
                    if_generation=if_generation,
                )
            )
        )
        if not known.exists:
            assert answer == "CLIENT_NOT_FOUND"
            return
        known.see(self.now)
        arguments = (known.id, hours, go_on, if_generation)
        remembered = self.remembered(by, key)
        if remembered:
            self.check_replay(known, answer, remembered, arguments)
            return
        if generation == -1:
            assert answer == "CONFLICT"
            return
        expected = known.reset(hours, by.actor, self.now, go_on)
        if expected:
            assert answer == expected
            return
        assert not isinstance(answer, str), answer
        assert not answer.replayed
        known.secrets[answer.new_secret.reveal()] = Known(by.actor, self.now)
        known.changed()
        if key:
            self.clients[0].keys[by.actor, key] = (arguments, answer.new_secret.reveal(), self.now)
        if hours and not go_on:
            assert all(self.is_good(known, text) for text in in_use), "a smooth reset cut off a secret in use (I5)"

    @rule(node=nodes, client=which, hours=st.sampled_from([1, 24, 168]), key=keys)
    def reset_smoothly(self, node: int, client: int, hours: int, key: str | None) -> None:
        """As people do it, most often the same person."""
        self.reset(node, client, hours, ADMIN, go_on=False, key=key, generation=None)

    @precondition(lambda self: self.resets)
    @rule(node=nodes, ago=st.sampled_from([1, 1, 2, 3]))
    def send_a_reset_again(self, node: int, ago: int) -> None:
        """A double click, or the answer got lost."""
        self.reset(node, *self.resets[-ago:][0])

    @precondition(lambda self: any(reset[4] for reset in self.resets))
    @rule(node=nodes, ago=st.sampled_from([1, 1, 2]))
    def ask_for_the_answer_again(self, node: int, ago: int) -> None:
        """Ask again: the same key returns the same secret (invariant I10)."""
        self.reset(node, *[reset for reset in self.resets if reset[4]][-ago:][0])

    def is_good(self, known: Reference, text: str) -> bool:
        secret = known.secrets[text]
        alive = secret.state == "CURRENT" or (
            secret.state == "RETAINED" and secret.expires is not None and self.now < secret.expires
        )
        return known.exists and alive

    def remembered(self, by: Caller, key: str | None) -> tuple[object, str, datetime] | None:
        found = self.clients[0].keys.get((by.actor, key or ""))
        return found if found and found[2] > self.now - TEN_MINUTES else None

    def check_replay(
        self, known: Reference, answer: Any, remembered: tuple[object, str, datetime], arguments: object
    ) -> None:
        """The replay is the same secret, or says that it has ended (invariant I10)."""
        if remembered[0] != arguments:
            assert answer == "IDEMPOTENCY_KEY_REUSED"
        elif not self.is_good(known, remembered[1]):
            assert answer == "IDEMPOTENCY_RESULT_ENDED"
        else:
            assert answer.replayed
            assert answer.new_secret.reveal() == remembered[1]
            assert answer.client.generation == known.generation

    @rule(node=nodes, client=which, by=actors)
    def revoke(self, node: int, client: int, by: Caller) -> None:
        known = self.client(client)
        answer = self.run(self.told(self.node(node).rotation.revoke_old_secret(known.id, by=by)))
        if not known.exists:
            assert answer == "CLIENT_NOT_FOUND"
            return
        known.see(self.now)
        old = known.one("RETAINED")
        assert not isinstance(answer, str)
        assert answer.already_ended is (old is None)
        if old:
            old.end()
            known.changed()

    @rule(node=nodes, client=which, hours=hours.filter(bool), by=actors)
    def change_retention(self, node: int, client: int, hours: int, by: Caller) -> None:
        known = self.client(client)
        answer = self.run(
            self.told(self.node(node).rotation.change_retention(known.id, Retention(hours, minimum=1), by=by))
        )
        if not known.exists:
            assert answer == "CLIENT_NOT_FOUND"
            return
        known.see(self.now)
        old = known.one("RETAINED")
        if old is None:
            assert answer == "NO_ROLLOVER"
            return
        old.keep(self.now, hours)
        known.changed()
        assert not isinstance(answer, str)
        assert answer.old_secret.expires_at == old.expires
        assert answer.clamped is (old.expires != self.now + hours * HOUR)

    @rule(node=nodes, client=which, by=actors)
    def cancel(self, node: int, client: int, by: Caller) -> None:
        known = self.client(client)
        answer = self.run(self.told(self.node(node).rotation.cancel_rollover(known.id, by=by)))
        if not known.exists:
            assert answer == "CLIENT_NOT_FOUND"
            return
        known.see(self.now)
        current, old = known.one("CURRENT"), known.one("RETAINED")
        assert current
        if old is None:
            assert answer == "NO_ROLLOVER"
        elif current.used:
            assert answer == "NEW_SECRET_IN_USE"
        else:
            assert not isinstance(answer, str)
            current.end()
            old.state, old.replaced, old.expires = "CURRENT", None, None
            known.changed()

    @rule(node=nodes, client=which, enabled=st.booleans(), by=actors)
    def enable_or_disable(self, node: int, client: int, enabled: bool, by: Caller) -> None:
        known = self.client(client)
        answer = self.run(self.told(self.node(node).clients.set_client_enabled(known.id, enabled=enabled, by=by)))
        if not known.exists:
            assert answer == "CLIENT_NOT_FOUND"
            return
        known.see(self.now)
        if known.enabled is not enabled:
            known.enabled = enabled
            known.changed()

    @rule(node=nodes, client=which, really=st.integers(0, 4))
    def delete(self, node: int, client: int, really: int) -> None:
        known = self.client(client)
        if really:
            return
        answer = self.run(self.told(self.node(node).clients.delete_client(known.id, by=ADMIN)))
        if not known.exists:
            assert answer == "CLIENT_NOT_FOUND"
            return
        known.see(self.now)
        for secret in known.secrets.values():
            if secret.state in ("CURRENT", "RETAINED"):
                secret.end()
        known.exists = False
        known.changed()

    @rule(node=nodes, client=which, state=st.sampled_from(["CURRENT", "CURRENT", "RETAINED", "any"]), place=numbers)
    def verify(self, node: int, client: int, state: str, place: int) -> None:
        """I2, I3, I8 and I9."""
        known = self.client(client)
        texts = [text for text, secret in known.secrets.items() if secret.state == state] or list(known.secrets)
        text = texts[place % len(texts)]
        secret = known.secrets[text]
        answer = self.run(is_good(self.node(node), known.id, text))
        if secret.state == "RETAINED":
            known.see(self.now)
        expected = known.enabled and self.is_good(known, text)
        assert answer is expected
        if answer and not secret.used:
            secret.used = self.now

    @rule(node=nodes, client=which, other=which, cut=st.integers(0, 60))
    def try_what_was_never_issued(self, node: int, client: int, other: int, cut: int) -> None:
        """A secret that was never issued is refused (invariant I7)."""
        known, stranger = self.client(client), self.client(other)
        text = list(stranger.secrets)[-1]
        wrong = text[:cut] + text[cut + 1 :] if stranger is known else text
        if wrong != text or stranger is not known:
            assert not self.run(is_good(self.node(node), known.id, wrong))

    @rule(node=nodes, what=st.sampled_from(["tidy", "count", "restart"]))
    def keep_house(self, node: int, what: str) -> None:
        services = self.nodes[node]
        if what == "tidy":
            self.run(services.maintenance.run())
            for known in self.clients:
                known.see(self.now)
            keys = self.clients[0].keys
            for key in [key for key, (*_, at) in keys.items() if at < self.now - TEN_MINUTES]:
                del keys[key]
        elif what == "count":
            self.run(services.usage.flush())
        else:
            self.run(services.close())
            self.nodes[node] = self.run(open_services(self.settings, adjust_clock=self.clock))

    @invariant()
    def the_database_says_what_the_reference_says(self) -> None:
        if not self.nodes:
            return
        self.run(self.compare())

    async def compare(self) -> None:
        node = self.nodes[0]
        [installation] = await node.database.fetch("SELECT revision FROM installation")
        assert installation["revision"] == self.other_events + sum(known.events for known in self.clients), "I6"
        for known in self.clients:
            rows = (await node.queries.page_of_secrets(known.id, PageRequest(first=100))).rows[::-1]
            told = [(row.state, row.replaced_at, row.expires_at, row.first_used_at) for row in rows][-100:]
            expected = [(each.state, each.replaced, each.expires, each.used) for each in known.secrets.values()][-100:]
            assert told == expected
            states = [row.state for row in rows]
            assert states.count("CURRENT") == known.exists, "I1"
            assert states.count("RETAINED") <= known.exists, "I1"
            for row in rows:
                before = self.states.get(row.id)
                assert before in (None, "CURRENT", "RETAINED", row.state), "I3"
                self.states[row.id] = row.state
                if row.expires_at and row.replaced_at:
                    assert row.expires_at <= row.replaced_at + CAP, "I4"
                if row.last_used_at:
                    assert self.last_used.get(row.id, row.last_used_at) <= row.last_used_at <= self.latest, "I9"
                    self.last_used[row.id] = row.last_used_at
            client = await node.queries.find_client(known.id)
            assert (client is not None) is known.exists
            if client:
                assert (client.generation, client.enabled) == (known.generation, known.enabled)


RUN = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


def test_the_invariants_hold_whatever_happens_on_sqlite(sqlite_template: SqliteTemplate) -> None:
    def make_url(directory: Path) -> tuple[str, Any]:
        return sqlite_template.copy_into(directory), lambda: None

    machine = type("Rollovers", (Rollovers,), {"make_url": staticmethod(make_url)})
    run_state_machine_as_test(machine, settings=settings(RUN, max_examples=50, stateful_step_count=50))


def test_the_invariants_hold_whatever_happens_on_postgres(postgres_server: PostgresServer) -> None:
    def make_url(_: Path) -> tuple[str, Any]:
        url = postgres_server.create()
        return url, lambda: postgres_server.drop(url)

    machine = type("Rollovers", (Rollovers,), {"make_url": staticmethod(make_url)})
    run_state_machine_as_test(machine, settings=settings(RUN, max_examples=8, stateful_step_count=40))
