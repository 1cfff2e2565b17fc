"""CPU that documents cost: those of tests/support/hostile_documents.py, from body to answer, without a socket.

    python tests/benchmarks/budget_cost.py

prints a line for each and fails when a refused one takes more than 15 ms or an answered one more than 50 ms of
thread CPU time (the best of five, each read again), or when one computes for more than 6 ms without letting others run.
"Answered" includes execution over resolvers in memory.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))


from support.hostile_documents import BOMBS, HEAVY, Hostile
from support.toy_graphql import Context, make_endpoint

from gql_secrets.graphql_server.errors import DocumentRefused
from gql_secrets.graphql_server.http import GraphQLEndpoint
from gql_secrets.graphql_server.negotiation import AcceptedTypes
from gql_secrets.graphql_server.requests import GraphQLRequest, parse_json
from gql_secrets.graphql_server.responses import json_response

REFUSED_MS = 15.0
ANSWERED_MS = 50.0
WITHOUT_PAUSE_MS = 6.0
ROUNDS = 5


class Cost(NamedTuple):
    milliseconds: float
    without_pause: float
    refused: bool
    told: str

    @property
    def allowed(self) -> float:
        return REFUSED_MS if self.refused else ANSWERED_MS


async def once(endpoint: GraphQLEndpoint, body: bytes) -> Cost:
    """One request, from its body to the bytes of its answer."""
    answering = asyncio.ensure_future(answer(endpoint, body))
    longest, last = 0.0, time.thread_time()
    while not answering.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return answering.result()._replace(without_pause=longest * 1000)


async def answer(endpoint: GraphQLEndpoint, body: bytes) -> Cost:
    context = Context()
    media = AcceptedTypes("application/json", event_stream=False)
    began = time.thread_time()
    try:
        request = GraphQLRequest.from_body(parse_json(body, "The body"))
        prepared = await endpoint.engine.prepare(request, context)
        result = await endpoint.engine.execute(prepared, context)
        json_response(media, result.errors, 200, data=result.data, has_data=True)
        refused, told = False, f"{len(result.errors)} errors"
    except DocumentRefused as failure:
        json_response(media, failure.errors, 200)
        refused, told = True, str(failure.errors[0]["message"])
    return Cost((time.thread_time() - began) * 1000, 0.0, refused, told)


def measure(hostile: Hostile, rounds: int = ROUNDS) -> Cost:
    """The cheapest of several rounds, each with an endpoint that never saw the document."""
    body = json.dumps(
        {"query": hostile.query, "variables": hostile.variables, "operationName": hostile.operation}
    ).encode()

    async def run() -> Cost:
        endpoint = make_endpoint()
        costs = []
        for _ in range(rounds):
            endpoint.engine.documents.clear()
            costs.append(await once(endpoint, body))
        return min(costs)

    return asyncio.run(run())


def main() -> int:
    """Measure all, print all, and tell whether a bound was broken."""
    broken = 0
    for title, corpus, to_refuse in (("to be refused", BOMBS, True), ("to be answered", HEAVY, False)):
        print(f"{len(corpus)} {title}")
        costs = {name: measure(hostile) for name, hostile in corpus.items()}
        for name, cost in sorted(costs.items(), key=lambda item: -item[1].milliseconds):
            wrong = (
                cost.milliseconds > cost.allowed
                or cost.without_pause > WITHOUT_PAUSE_MS
                or cost.refused is not to_refuse
            )
            broken += wrong
            times = f"{cost.milliseconds:7.2f} ms {cost.without_pause:6.2f} ms"
            print(f"{'!' if wrong else ' '} {times}  {name:48} {cost.told[:90]}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
