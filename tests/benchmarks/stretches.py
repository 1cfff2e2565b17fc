"""How long does one operation keep the event loop, for which everybody waits?

    uv run --all-groups python tests/benchmarks/stretches.py [--postgres] [--role VIEWER] [--short]

Executes, in one process and without HTTP, the dearest accepted documents of each role, the searches of fairness.py, and
the hostile documents, against 150 clients in rollovers with histories. Measures the processor time between two looks of
the event loop at its sockets, and for each document takes the best of three rounds of its longest stretch: other work
on the machine makes it longer, never shorter. Prints the longest ones, and fails above 15 ms. (An operation means to
pause every 5 ms; the rest is for busy machines.) `--short` checks only that it works, with every tenth document.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.fairness import attacks_of_readers
from benchmarks.query_cost import PAGE_SIZES, Measuring, Shapes, fill
from support.callers import ADMIN, OPERATOR, VIEWER
from support.databases import PostgresServer, temporary_directory
from support.hostile_documents import BOMBS, HEAVY
from support.stretches import MeasuringSelector, run_measured, stretches_of

from gql_secrets.api.graphql.limits import LIMITS
from gql_secrets.commands.serving.collecting import collecting_in_small_steps
from gql_secrets.domain.access import Caller
from gql_secrets.domain.credentials import Pepper
from gql_secrets.graphql_server.errors import DocumentRefused
from gql_secrets.settings import Settings
from gql_secrets.wiring import open_services

MAX_MS = 15.0
SHOWN = 20
ROUNDS = 3
CALLERS = {"VIEWER": VIEWER, "OPERATOR": OPERATOR, "ADMIN": ADMIN}


class Longest(NamedTuple):
    """The longest stretch of a document and the whole of it, in milliseconds of processor time."""

    stretch: float
    whole: float
    stretches: int


def bodies(measuring: Measuring, client_ids: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each document, with the sizes of pages that are tried until one is accepted."""
    for name, shape in Shapes(measuring.schema._schema, client_ids):
        yield name, [json.dumps({"query": shape.replace("SIZE", str(page))}) for page in PAGE_SIZES]
    for attack in attacks_of_readers("", ""):
        yield from ((f"fifteen searches, {number}", [body]) for number, body in enumerate(attack.bodies))
    for name, one in {**BOMBS, **HEAVY}.items():
        if len(one.query) <= LIMITS.document_bytes:
            body = {"query": one.query, "variables": one.variables, "operationName": one.operation}
            yield name, [json.dumps(body)]


async def longest_of(selector: MeasuringSelector, measuring: Measuring, caller: Caller, tried: list[str]) -> Longest:
    """Return the best round of the first document that is accepted, or of the last one."""
    for body in tried:
        rounds, is_accepted = [], True
        for _ in range(ROUNDS):
            failures: list[DocumentRefused] = []

            async def answer(body: str = body, failures: list[DocumentRefused] = failures) -> None:
                try:
                    await measuring.answer(body.encode(), caller)
                except DocumentRefused as refused:
                    failures.append(refused)

            stretches = await stretches_of(selector, answer())
            rounds.append(Longest(max(stretches) * 1000, sum(stretches) * 1000, len(stretches)))
            is_accepted = not failures
        if is_accepted:
            break
    return min(rounds)


async def measure(selector: MeasuringSelector, settings: Settings, roles: list[str], step: int) -> int:
    services = await open_services(settings)
    over = 0
    try:
        measuring = Measuring(services)
        documents = list(bodies(measuring, await fill(services)))[::step]
        async with collecting_in_small_steps():
            for role in roles:
                found = [
                    (await longest_of(selector, measuring, CALLERS[role], tried), name) for name, tried in documents
                ]
                found.sort(reverse=True)
                over += sum(longest.stretch > MAX_MS for longest, _ in found)
                for longest, name in found[:SHOWN]:
                    print(
                        f"{'!' if longest.stretch > MAX_MS else ' '} {role:8} {longest.stretch:7.2f} ms of "
                        f"{longest.whole:7.2f} ms in {longest.stretches:5,} stretches  {name}"
                    )
    finally:
        await services.close()
    return over


def main() -> int:
    """Measure all and print the longest; 1 where one is too long."""
    parser = argparse.ArgumentParser(description="How long does one operation keep the event loop?")
    parser.add_argument("--postgres", action="store_true", help="measure on PostgreSQL instead of SQLite")
    parser.add_argument("--role", choices=CALLERS, help="measure only this one")
    parser.add_argument("--short", action="store_true", help="check only that it works")
    given = parser.parse_args()
    roles = [given.role] if given.role else ["ADMIN"] if given.short else list(CALLERS)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_directory()))
        url = ""
        if given.postgres:
            server = PostgresServer()
            stack.callback(server.stop)
            url = server.create()
        settings = Settings(data_dir=folder, database_url=url, pepper=Pepper.mint().written(), rate_limits="off")
        over = run_measured(lambda selector: measure(selector, settings, roles, 10 if given.short else 1))
    print(f"\n{over} stretches above {MAX_MS:g} ms" if over else f"\nevery stretch is at most {MAX_MS:g} ms")
    return int(over > 0 and not given.short)


if __name__ == "__main__":
    sys.exit(main())
