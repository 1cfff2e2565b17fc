"""A server with two workers, and which of them answered."""

import http.client
import json
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.serving import SECONDS_TO_START, Serving, serving

COUNT = 2


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pids(server: Serving) -> dict[str, int]:
    """The process of each worker, the newest."""
    return {number: int(pid) for number, pid in re.findall(r"worker_started worker=(\d+) pid=(\d+)", server.stderr)}


@contextmanager
def workers(folder: Path, *arguments: str, **settings: str) -> Iterator[Serving]:
    """Run a server with two workers until the end of the block."""
    with serving(folder, "--workers", str(COUNT), *arguments, **settings) as server:
        yield server


class Asking:
    """A connection, which one of the workers has taken."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        _, _, request_id = self._ask("GET", "/livez")
        line = re.compile(rf"request_id={request_id} .*worker=(\d+)")
        wait_until(lambda: line.search(server.stderr) is not None)
        found = line.search(server.stderr)
        assert found is not None
        self.worker = found[1]

    def close(self) -> None:
        self._connection.close()

    def verify(self, client_id: str, secret: str) -> int:
        return self._ask("GET", "/verify", f"{client_id}:{secret}")[0]

    def execute(self, query: str, **variables: object) -> Any:
        """Return the data of an operation that the owner asks for."""
        body = json.dumps({"query": query, "variables": variables})
        status, text, _ = self._ask("POST", "/graphql", self._server.owner, body)
        assert status == 200, text
        return json.loads(text)["data"]

    def _ask(
        self, method: str, path: str, credentials: str = "", body: str | None = None
    ) -> tuple[int, str, str | None]:
        headers = {"Content-Type": "application/json"}
        if credentials:
            headers["Authorization"] = f"Basic {b64encode(credentials.encode()).decode()}"
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("X-Request-Id")


@contextmanager
def asking_each(server: Serving) -> Iterator[tuple[Asking, Asking]]:
    """Connect until both workers have taken a connection; yield one of each."""
    taken: dict[str, Asking] = {}
    deadline = time.monotonic() + SECONDS_TO_START
    try:
        while len(taken) < COUNT:
            assert time.monotonic() < deadline, "one worker takes all connections"
            asking = Asking(server)
            if taken.setdefault(asking.worker, asking) is not asking:
                asking.close()
        yield taken["1"], taken["2"]
    finally:
        for asking in taken.values():
            asking.close()
