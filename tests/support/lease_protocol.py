"""The protocol by which nodes verify from memory, small enough to try every order of its steps.

There is one node with a memory, two changes (the first of another client, the second ends the secret), which other
processes or the node itself make, one database, and a clock that ticks. `find_counterexample` tries every reachable
state and returns the shortest way to one in which a verification that started after the ending was acknowledged accepts
the secret.

Each rule of the protocol (gql_secrets/storage/node_lease.py, gql_secrets/storage/cluster.py) has a switch. Without any
one of them there is such a way, so each is needed.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

# How many ticks an acknowledgement waits for a node that does not confirm; no lease is longer.
LEASE: Final = 2
ENDING: Final = 1  # the second of the two changes ends the secret


class Rules(NamedTuple):
    """The rules of the protocol. False is a classic mistake."""

    revisions_are_in_commit_order: bool = True
    polls_need_a_row: bool = True
    row_is_there_before_the_poll: bool = True
    lease_counts_from_sending: bool = True
    clock_runs_while_suspended: bool = True
    changes_are_applied_before_the_lease_is_extended: bool = True
    old_reads_are_not_remembered: bool = True
    acknowledgements_wait: bool = True
    waits_by_its_own_clock: bool = True
    removes_only_silent_members: bool = True
    lease_is_checked_at_each_answer: bool = True
    waits_after_a_failover: bool = True
    server_is_known_after_a_whole_lease: bool = True
    stops_answering_before_it_leaves: bool = True
    expiry_uses_the_upper_bound: bool = True
    own_changes_are_forgotten: bool = True
    reads_before_an_own_change_are_not_remembered: bool = True
    own_changes_move_no_position: bool = True
    unanswered_commits_are_not_own: bool = True
    another_nodes_changes_are_not_own: bool = True
    joins_wait_for_changes: bool = True
    looks_for_others_on_a_known_server: bool = True


class Change(NamedTuple):
    """One of the two changes. `seen_at` is when its writer saw the member's row as it still is.

    `saw_nobody` says whether it saw no other node to wait for, when it held its locks; None before that.
    `is_answered` says whether the node that made it knows of its commit; that of a change of another process is None.
    """

    revision: int = 0  # assigned
    committed_at: int | None = None
    is_acknowledged: bool = False
    saw_nobody: bool | None = None
    seen_at: int | None = None
    is_answered: bool | None = None


class Poll(NamedTuple):
    """A poll on its way: `seen` is what its snapshot has, None before that."""

    sent_at: int
    applied: int
    seen: frozenset[int] | None = None
    database_time: int = 0
    is_recorded: bool | None = None


class State(NamedTuple):
    """Everything at one moment."""

    now: int = 0
    changes: tuple[Change, Change] = (Change(), Change())
    # The member's row: the revision that it confirmed, and by the database's clock the end of its lease.
    row: tuple[int, int] | None = (0, 0)
    failed_over_at: int | None = None
    is_new_server: bool = False  # and nobody knows yet that it is safe
    # The node.
    applied: int = 0
    oldest_read: int = 0  # rows that were read at a lower revision are not remembered
    is_remembered: bool = True
    lease_end: int = 0
    timer_has_fired: bool = True
    unapplied: frozenset[int] = frozenset()
    poll: Poll | None = None
    read: tuple[int, bool] | None = None  # the revision of its snapshot, and whether the secret was valid
    suspended: int = 0  # ticks that the node's clock missed
    has_left: bool = False
    clock_error: int = 0  # what the node adds to its own clock to get the database's

    @property
    def visible(self) -> frozenset[int]:
        """The revisions that a snapshot has now."""
        return frozenset(change.revision for change in self.changes if change.committed_at is not None)

    @property
    def is_locked(self) -> bool:
        """Whether a change holds its locks."""
        return any(change.saw_nobody is not None and change.committed_at is None for change in self.changes)

    @property
    def node_clock(self) -> int:
        return self.now - self.suspended


class Scope(NamedTuple):
    """What can happen. A mistake is found faster where only that happens which it needs."""

    end_of_time: int = 4
    has_other_change: bool = True
    reads: bool = True
    leaves: bool = True
    fails_over: bool = True
    own: frozenset[int] = frozenset()  # the changes that the node itself makes
    expires_at: int | None = None  # when the secret expires; an acceptance from then on is a counterexample too


def find_counterexample(rules: Rules, scope: Scope) -> tuple[list[str] | None, int]:
    """Return the steps of the shortest counterexample, or None; and how many states were tried."""
    first = State()
    if not scope.has_other_change:
        first = first._replace(changes=(Change(is_acknowledged=True, committed_at=0), Change()))
    origin: dict[State, tuple[State, str] | None] = {first: None}
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        if accepts(state, rules, scope) and is_wrong(state, scope):
            return steps_to(state, origin), len(origin)
        for step, following in steps(state, rules, scope):
            if following not in origin:
                origin[following] = (state, step)
                waiting.append(following)
    return None, len(origin)


def is_wrong(state: State, scope: Scope) -> bool:
    """Whether a verification that starts now must not accept."""
    return state.changes[ENDING].is_acknowledged or (scope.expires_at is not None and state.now >= scope.expires_at)


def accepts(state: State, rules: Rules, scope: Scope) -> bool:
    """Whether a verification that starts now is accepted from memory."""
    is_held = state.node_clock < state.lease_end if rules.lease_is_checked_at_each_answer else not state.timer_has_fired
    is_expired = scope.expires_at is not None and state.node_clock + state.clock_error >= scope.expires_at
    return is_held and state.is_remembered and not is_expired


def steps(state: State, rules: Rules, scope: Scope) -> Iterator[tuple[str, State]]:
    """Yield everything that can happen next."""
    if state.now < scope.end_of_time:
        yield "tick", state._replace(now=state.now + 1)
        if not rules.clock_runs_while_suspended:
            yield "tick, node suspended", state._replace(now=state.now + 1, suspended=state.suspended + 1)
    for number in range(len(state.changes)):
        yield from writer_steps(state, rules, number, is_own=number in scope.own)
    yield from poll_steps(state, rules, scope)
    yield from memory_steps(state, rules, scope)
    if scope.fails_over and state.failed_over_at is None and state.now:
        # The new primary lacks the row; the old one answers nothing more, so a change in progress begins again.
        first, second = (each if each.committed_at is not None else Change() for each in state.changes)
        yield (
            "failover",
            state._replace(row=None, is_new_server=True, failed_over_at=state.now, poll=None, changes=(first, second)),
        )
    if state.is_new_server and state.failed_over_at is not None:
        since = state.failed_over_at if rules.server_is_known_after_a_whole_lease else 0
        if state.now >= since + LEASE:
            yield "know the server", state._replace(is_new_server=False)


def writer_steps(state: State, rules: Rules, number: int, *, is_own: bool) -> Iterator[tuple[str, State]]:
    change = state.changes[number]

    def changed(**values: object) -> tuple[Change, Change]:
        both = list(state.changes)
        both[number] = change._replace(**values)  # type: ignore[arg-type]
        return both[0], both[1]

    def looked(**values: object) -> State:
        return state._replace(changes=changed(**values))

    if change.committed_at is None:
        for step, values in steps_to_commit(state, rules, number, is_own=is_own):
            yield f"{step} {number}", looked(**values)
        return
    if change.is_answered is False:
        yield f"answer the commit {number}", forget_own(looked(is_answered=True), rules, number)
    if change.is_acknowledged:
        return
    yield from acknowledgements(state, rules, number, looked(is_acknowledged=True))
    if state.row is not None and change.seen_at is None and number != ENDING:  # what the last one removes is irrelevant
        yield f"see the row {number}", looked(seen_at=state.now)


def steps_to_commit(
    state: State, rules: Rules, number: int, *, is_own: bool
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield what a change can do next, and what that changes of it."""
    change, next_revision = state.changes[number], max(each.revision for each in state.changes) + 1
    if not rules.revisions_are_in_commit_order:
        yield ("commit", {"committed_at": state.now}) if change.revision else ("revision", {"revision": next_revision})
    elif change.saw_nobody is not None:
        is_answered = False if is_own else None
        yield "commit", {"revision": next_revision, "committed_at": state.now, "is_answered": is_answered}
    elif not state.is_locked:
        is_doubtful = state.is_new_server and rules.looks_for_others_on_a_known_server
        yield "lock and look", {"saw_nobody": (state.row is None or is_own) and not is_doubtful}


def acknowledgements(state: State, rules: Rules, number: int, acknowledged: State) -> Iterator[tuple[str, State]]:
    change, row = state.changes[number], state.row
    if not rules.acknowledgements_wait:
        yield f"acknowledge {number}", acknowledged
        return
    is_own = (
        change.is_answered is True
        or (change.is_answered is False and not rules.unanswered_commits_are_not_own)
        or (change.is_answered is None and not rules.another_nodes_changes_are_not_own)
    )
    if change.saw_nobody and change.is_answered is not False:
        yield f"acknowledge {number}, nobody to wait for", acknowledged
        return
    is_confirmed = row is None or row[0] >= change.revision or is_own
    if not rules.waits_by_its_own_clock and row is not None and row[1] <= state.now:
        is_confirmed = True  # the lease is over by what the row says
    if is_confirmed and not (state.is_new_server and rules.waits_after_a_failover):
        yield f"acknowledge {number}, confirmed", acknowledged
    elif rules.waits_by_its_own_clock and state.now >= (change.committed_at or 0) + LEASE:
        is_silent = change.seen_at is not None and state.now >= change.seen_at + LEASE
        is_removed = is_silent or not rules.removes_only_silent_members
        yield f"acknowledge {number}, waited", acknowledged._replace(row=None if is_removed else row)


def poll_steps(state: State, rules: Rules, scope: Scope) -> Iterator[tuple[str, State]]:
    poll = state.poll
    if poll is None:
        if state.has_left:
            return
        if (
            state.row is None
            and rules.row_is_there_before_the_poll
            and rules.polls_need_a_row
            and not (state.is_locked and rules.joins_wait_for_changes)
        ):
            yield "join", state._replace(row=(state.applied, 0))
        yield "send a poll", state._replace(poll=Poll(state.now - state.suspended, state.applied))
        return
    if poll.seen is None:
        # States that differ only in what no rule reads are one state.
        is_time_read = scope.expires_at is not None or not rules.waits_by_its_own_clock
        read = state.now if is_time_read else 0
        yield "snapshot", state._replace(poll=poll._replace(seen=state.visible, database_time=read))
        return
    if poll.is_recorded is None:
        recorded = (poll.applied, 0 if rules.waits_by_its_own_clock else poll.database_time + LEASE)
        unseen = tuple(change._replace(seen_at=None) for change in state.changes)
        if state.row is not None or not rules.row_is_there_before_the_poll:
            yield (
                "record the poll",
                state._replace(row=recorded, poll=poll._replace(is_recorded=True), changes=(unseen[0], unseen[1])),
            )
        else:
            yield "record nothing", state._replace(poll=poll._replace(is_recorded=not rules.polls_need_a_row))
        return
    arrived = state._replace(poll=None)
    yield "lose the answer", arrived
    new = frozenset(revision for revision in poll.seen if revision > state.applied)
    if poll.is_recorded:
        began = poll.sent_at if rules.lease_counts_from_sending else state.node_clock
        error = poll.database_time - (poll.sent_at if rules.expiry_uses_the_upper_bound else state.node_clock)
        arrived = arrived._replace(
            lease_end=began + LEASE,
            timer_has_fired=rules.lease_is_checked_at_each_answer,
            clock_error=error if scope.expires_at is not None else 0,
        )
    if rules.changes_are_applied_before_the_lease_is_extended:
        yield "apply and extend", apply(arrived, new)
    else:
        yield "extend", arrived._replace(unapplied=state.unapplied | new)


def memory_steps(state: State, rules: Rules, scope: Scope) -> Iterator[tuple[str, State]]:
    if state.unapplied:
        yield "apply", apply(state, state.unapplied)._replace(unapplied=frozenset())
    if state.read is None and scope.reads:
        is_valid = state.changes[ENDING].committed_at is None
        yield "read", state._replace(read=(max(state.visible, default=0), is_valid))
    elif state.read is not None:
        revision, is_valid = state.read
        read = state._replace(read=None)
        oldest = state.applied if rules.old_reads_are_not_remembered else 0
        if is_valid and revision >= max(oldest, state.oldest_read):
            yield "remember", read._replace(is_remembered=True)
        else:
            yield "discard", read
    if not state.timer_has_fired and state.node_clock >= state.lease_end:
        yield "timer", state._replace(timer_has_fired=True)
    if scope.leaves and not state.has_left and state.poll is None and state.row is not None:
        left = state._replace(row=None, has_left=True)
        if rules.stops_answering_before_it_leaves:
            left = left._replace(lease_end=0, timer_has_fired=True)
        yield "leave", left


def apply(state: State, revisions: frozenset[int]) -> State:
    """Return the state after the node applied these changes: it forgets the secret with the one that ends it."""
    if not revisions:
        return state
    forgets = state.changes[ENDING].revision in revisions
    return state._replace(applied=max(state.applied, *revisions), is_remembered=state.is_remembered and not forgets)


def forget_own(state: State, rules: Rules, number: int) -> State:
    """Return the state after the node forgot what it changed itself, because it knows of the commit."""
    revision = state.changes[number].revision
    if rules.own_changes_are_forgotten:
        state = state._replace(is_remembered=state.is_remembered and number != ENDING)
    if rules.reads_before_an_own_change_are_not_remembered:
        state = state._replace(oldest_read=max(state.oldest_read, revision))
    if not rules.own_changes_move_no_position:
        state = state._replace(applied=max(state.applied, revision))
    return state


def steps_to(state: State, origin: dict[State, tuple[State, str] | None]) -> list[str]:
    names = []
    while (before := origin[state]) is not None:
        state, name = before
        names.append(name)
    return names[::-1]
