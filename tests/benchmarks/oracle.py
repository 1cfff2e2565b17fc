"""Does the time of an answer reveal why a credential was refused?

    uv run --all-groups python tests/benchmarks/oracle.py [--samples 100000] [--postgres]

A real server, on a database of its own, is asked over one keep-alive connection on loopback, at /verify and at
/graphql, by five kinds of bad credentials in random order: of a client that does not exist, a wrong secret of one that
does, an expired, a revoked one, and the valid one of a disabled client; eight clients of each kind. The time of a
sample is from the first byte sent to the last one received. All bytes of an answer must be the same but its request
id and date. Then Welch's t-test compares each two kinds at each address, once over all samples and once over those
below the 95th percentile of all kinds together, where the noise of a busy machine hides less. It fails at |t| >= 4.5.
On a very busy machine the database may not answer in time; up to one answer of 1,000 may be a 503, and is left out.
"""

import argparse
import asyncio
import base64
import contextlib
import itertools
import json
import math
import random
import re
import socket
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.callers import ADMIN, is_good
from support.databases import PostgresServer, temporary_directory
from support.serving import serving

from gql_secrets.domain.credentials import Pepper, PlaintextSecret, mint_client_id
from gql_secrets.domain.rotation import Retention
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_services

LIMIT = 4.5
KINDS = ("unknown client", "wrong secret", "expired", "revoked", "disabled")
ADDRESSES = ("/verify", "/graphql")
OF_EACH_KIND = 8
OTHER_CLIENTS = 300
WARMING = 400
MAX_UNAVAILABLE = 0.001
EXPIRED_AGO = timedelta(hours=2)

Credential = tuple[str, str]


class Clock:
    """A clock that is set back: what expires by it has expired by the server's."""

    def __init__(self) -> None:
        self.back = timedelta()

    def __call__(self, machine: datetime) -> datetime:
        return machine - self.back


class Told(NamedTuple):
    """What a test of two kinds says."""

    address: str
    kinds: tuple[str, str]
    t: float
    t_below_p95: float
    difference_us: float

    @property
    def is_told_apart(self) -> bool:
        return max(abs(self.t), abs(self.t_below_p95)) >= LIMIT


async def make_credentials(settings: Settings) -> dict[str, list[Credential]]:
    """Make the clients of each kind, each with a past: its secrets were used."""
    clock = Clock()
    services = await open_services(settings, adjust_clock=clock)
    try:
        made: dict[str, list[Credential]] = {kind: [] for kind in KINDS}
        for _ in range(OF_EACH_KIND):
            made["unknown client"].append((mint_client_id(), PlaintextSecret.mint().reveal()))
            client_id, _ = await used_client(services)
            made["wrong secret"].append((client_id, PlaintextSecret.mint().reveal()))
            clock.back = EXPIRED_AGO
            made["expired"].append(await retained(services, hours=1))
            clock.back = timedelta()
            made["revoked"].append(await retained(services, hours=24))
            await services.rotation.revoke_old_secret(made["revoked"][-1][0], by=ADMIN)
            made["disabled"].append(await used_client(services))
            await services.clients.set_client_enabled(made["disabled"][-1][0], enabled=False, by=ADMIN)
        for _ in range(OTHER_CLIENTS):
            await used_client(services)
        await services.maintenance.expire_due_secrets()
        for credential in itertools.chain(*made.values()):
            assert not await is_good(services, *credential)
        return made
    finally:
        await services.close()


async def used_client(services: Services) -> Credential:
    made = await services.clients.create_client("Shop", by=ADMIN)
    credential = made.client.client_id, made.secret.reveal()
    assert await is_good(services, *credential)
    return credential


async def retained(services: Services, *, hours: int) -> Credential:
    """The old secret of a client in a rollover, both used."""
    client_id, old = await used_client(services)
    reset = await services.rotation.reset_secret(client_id, Retention(hours), by=ADMIN)
    assert await is_good(services, client_id, reset.new_secret.reveal())
    return client_id, old


def request_of(address: str, credential: Credential) -> bytes:
    token = base64.b64encode(":".join(credential).encode()).decode()
    lines = ["GET" if address == "/verify" else "POST", f" {address} HTTP/1.1\r\nHost: localhost\r\n"]
    lines.append(f"Authorization: Basic {token}\r\n")
    body = json.dumps({"query": "{ viewer { name } }"}) if address == "/graphql" else ""
    if body:
        lines.append(f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n")
    return "".join([*lines, "\r\n", body]).encode()


def ask(connection: socket.socket, request: bytes) -> tuple[int, bytes]:
    """Return how long the answer took, in nanoseconds, and the answer."""
    began = time.perf_counter_ns()
    connection.sendall(request)
    answer = connection.recv(65_536)
    while not is_whole(answer):
        answer += connection.recv(65_536)
    return time.perf_counter_ns() - began, answer


def is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


def without_its_own(answer: bytes) -> bytes:
    """An answer without what no two have in common."""
    return re.sub(rb"(?i)(x-request-id|date): [^\r]+", rb"\1: -", answer)


def measure(port: int, made: dict[str, list[Credential]], samples: int) -> dict[tuple[str, str], list[int]]:
    """Ask in random order; return the times by address and kind."""
    chance = random.Random(20261121)  # noqa: S311  for the order, not for secrecy
    requests = {
        (address, kind): [request_of(address, credential) for credential in made[kind]]
        for address in ADDRESSES
        for kind in KINDS
    }
    times: dict[tuple[str, str], list[int]] = {key: [] for key in requests}
    answers: dict[str, set[bytes]] = {address: set() for address in ADDRESSES}
    order = list(requests)
    unavailable = 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(-WARMING, samples // len(order)):
            chance.shuffle(order)
            for key in order:
                took, answer = ask(connection, chance.choice(requests[key]))
                while b" 503 " in answer[:20] and unavailable < samples * MAX_UNAVAILABLE:
                    unavailable += 1
                    took, answer = ask(connection, chance.choice(requests[key]))
                assert b" 401 " in answer[:20], answer
                answers[key[0]].add(without_its_own(answer))
                if number >= 0:
                    times[key].append(took)
    if unavailable:
        print(f"{unavailable} answers were 503 and were asked for again: the machine is too busy\n")
    for address, different in answers.items():
        assert len(different) == 1, (address, different)
    return times


def welch(one: Sequence[int], other: Sequence[int]) -> float:
    """Welch's t of two samples."""
    error = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(error)


def compare(times: dict[tuple[str, str], list[int]]) -> Iterator[Told]:
    for address in ADDRESSES:
        whole = {kind: times[address, kind] for kind in KINDS}
        bar = statistics.quantiles(itertools.chain(*whole.values()), n=20)[-1]
        below = {kind: [took for took in taken if took <= bar] for kind, taken in whole.items()}
        for one, other in itertools.combinations(KINDS, 2):
            yield Told(
                address,
                (one, other),
                welch(whole[one], whole[other]),
                welch(below[one], below[other]),
                (statistics.fmean(below[one]) - statistics.fmean(below[other])) / 1000,
            )


def report(times: dict[tuple[str, str], list[int]]) -> int:
    """Print both tables; return how many pairs can be told apart."""
    print(f"{'address':10}{'kind':16}{'samples':>9}{'median':>10}{'mean':>10}{'p95':>10}   (microseconds)")
    for (address, kind), taken in times.items():
        median, mean, p95 = statistics.median(taken), statistics.fmean(taken), statistics.quantiles(taken, n=20)[-1]
        print(f"{address:10}{kind:16}{len(taken):9}{median / 1000:10.1f}{mean / 1000:10.1f}{p95 / 1000:10.1f}")
    print(f"\n{'address':10}{'pair':34}{'t':>8}{'t below p95':>13}{'difference':>12}   (microseconds)")
    told_apart = 0
    for told in compare(times):
        told_apart += told.is_told_apart
        mark = "   TOLD APART" if told.is_told_apart else ""
        pair = " / ".join(told.kinds)
        print(f"{told.address:10}{pair:34}{told.t:8.2f}{told.t_below_p95:13.2f}{told.difference_us:12.2f}{mark}")
    return told_apart


def main() -> int:
    """Measure and report; 1 where two kinds can be told apart."""
    arguments = argparse.ArgumentParser(description="Does the time of an answer reveal why a credential was refused?")
    arguments.add_argument("--samples", type=int, default=100_000)
    arguments.add_argument("--postgres", action="store_true", help="measure on PostgreSQL instead of SQLite")
    given = arguments.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_directory()))
        url = ""
        if given.postgres:
            server = PostgresServer()
            stack.callback(server.stop)
            url = server.create()
        pepper = Pepper.mint().written()
        made = asyncio.run(
            make_credentials(Settings(data_dir=folder / "data", database_url=url, pepper=pepper, rate_limits="off"))
        )
        chosen = {"database_url": url} if url else {}
        running = stack.enter_context(
            serving(folder, data_dir=str(folder / "data"), pepper=pepper, rate_limits="off", **chosen)
        )
        print(f"{given.samples} samples on {'PostgreSQL' if url else 'SQLite'}, one connection, random order\n")
        told_apart = report(measure(running.port, made, given.samples))
    print(f"\n{told_apart} pairs can be told apart" if told_apart else f"\nno pair reaches |t| = {LIMIT}")
    return 1 if told_apart else 0


if __name__ == "__main__":
    sys.exit(main())
