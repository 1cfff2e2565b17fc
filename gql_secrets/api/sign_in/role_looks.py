"""Looks again at the roles that identity providers gave: every ten minutes at least, by one node at a time."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from gql_secrets.api.sign_in.provider_client import GrantEnded, LookInterrupted, ProviderClient, RoleNotShown
from gql_secrets.domain.errors import Unavailable
from gql_secrets.wiring import Services

_log: Final = logging.getLogger(__name__)
SECONDS_BETWEEN_RUNS: Final = 20.0
_AT_A_TIME: Final = 4
# How long a request waits for the look of another one.
_WAIT_SECONDS: Final = 10.0
_SECONDS_BETWEEN_TRIES: Final = 0.1


class RoleLooks:
    """Asks the providers of all sessions for the roles."""

    def __init__(self, services: Services, clients: Mapping[str, ProviderClient]) -> None:
        """Look at the roles of sessions of these providers."""
        self._services = services
        self._clients = clients

    async def run(self) -> float:
        """Look at every role that is due; return the number of seconds until the next run."""
        due = await self._services.provider_sessions.due_for_look()
        gate = asyncio.Semaphore(_AT_A_TIME)

        async def look(session_id: int) -> None:
            async with gate:
                await self._look(session_id)

        await asyncio.gather(*(look(session_id) for session_id in due))
        return SECONDS_BETWEEN_RUNS

    async def look_now(self, token: str) -> bool:
        """Look at the role of the session with this cookie, if only that keeps it from being valid.

        Where another request or node is looking, this waits for it: a page sends several requests at a time.

        Returns whether there was a look, also one that ended just before: the session may be valid now.
        """
        if not self._clients:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_SECONDS):
                while (found := await self._services.provider_sessions.find_role(token)) is not None:
                    session_id, counts = found
                    if counts or await self._look(session_id):
                        return True
                    await asyncio.sleep(_SECONDS_BETWEEN_TRIES)
        return False

    async def _look(self, session_id: int) -> bool:
        sessions = self._services.provider_sessions
        look = await sessions.claim_look(session_id)
        client = self._clients.get(look.issuer) if look else None
        if look is None:
            return False
        if client is None:  # no longer among the settings
            await sessions.record_failure(look)
            return False
        try:
            person = await client.look(look, await self._services.database.now())
        except GrantEnded:
            await sessions.end_look(look)
        except RoleNotShown:
            await sessions.forget_tokens(look.session_id)
        except Unavailable as failure:
            _log.warning("role_not_confirmed", extra={"issuer": look.issuer, "reason": str(failure)})
            renewed = failure.tokens if isinstance(failure, LookInterrupted) else look.tokens
            await sessions.record_failure(replace(look, tokens=renewed))
        else:
            await sessions.confirm(look, person)
        return True
