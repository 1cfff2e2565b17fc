"""What a server is asked while something else happens to its database."""

import asyncio

from gql_secrets.domain.changes_pause import ChangesPaused
from gql_secrets.wiring import Services
from support.callers import ADMIN, DAY, Made, is_good


class Traffic:
    """A writer that creates, resets and revokes until changes are refused, and a prober that verifies all along."""

    def __init__(self, services: Services, valid: Made, ended: Made) -> None:
        self.services = services
        # What was acknowledged.
        self.valid = [valid]
        self.ended = [ended]
        self.wrong: list[Made] = []
        self.turns = 0
        self.probes = 0
        self._probing = asyncio.create_task(self._probe())
        self.writing = asyncio.create_task(self._write())

    async def _write(self) -> ChangesPaused:
        rotation = self.services.rotation
        try:
            while True:
                made = await self.services.clients.create_client("made", by=ADMIN)
                client, first = made.client.client_id, Made(made.client.client_id, made.secret.reveal())
                self.valid.append(first)
                reset = await rotation.reset_secret(client, DAY, by=ADMIN)
                self.valid.append(Made(client, reset.new_secret.reveal()))
                self.valid.remove(first)  # until the answer, nobody knows
                try:
                    await rotation.revoke_old_secret(client, by=ADMIN)
                except ChangesPaused:
                    self.valid.append(first)
                    raise
                self.ended.append(first)
                self.turns += 1
        except ChangesPaused as refused:
            return refused

    async def _probe(self) -> None:
        while True:
            for made, expected in ((self.valid[0], True), (self.valid[-1], True), (self.ended[-1], False)):
                if await is_good(self.services, made.id, made.secret) is not expected:
                    # A valid one may have been revoked since.
                    self.wrong += [made] if made in (self.valid if expected else self.ended) else []
            self.probes += 1
            await asyncio.sleep(0)

    async def go_on(self) -> None:
        """Wait for two more turns of the writer."""
        until = self.turns + 2
        while self.turns < until and not self.writing.done():  # noqa: ASYNC110  two tasks, and no more state
            await asyncio.sleep(0.01)

    async def go_on_probing(self) -> None:
        """Wait for two more rounds of the prober."""
        until = self.probes + 2
        while self.probes < until and not self._probing.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        await self.go_on_probing()
        self._probing.cancel()
        await asyncio.wait([self._probing])
        assert self._probing.cancelled(), self._probing.exception()
