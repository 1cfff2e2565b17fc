"""`gql-secrets backup` next to a node that goes on changing secrets, each in a process of its own."""

import asyncio
import json
from pathlib import Path
from typing import Any

from support.callers import ADMIN, HARD, Made
from support.serving import PROGRAM, environment

from gql_secrets.settings import Settings
from gql_secrets.wiring import Services


async def backed_up(settings: Settings, path: Path) -> dict[str, Any]:
    """Run the command to its end, while this process goes on."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *("backup", path, "--json"),
        env=environment(
            {
                "data_dir": str(settings.data_dir),
                "database_url": str(settings.database_url),
                "pepper": str(settings.pepper),
            }
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    facts: dict[str, Any] = json.loads(out)
    return facts


async def test_a_backup_is_of_one_moment_while_changes_go_on(
    services: Services, settings: Settings, client: Made, data_dir: Path
) -> None:
    stop = asyncio.Event()

    async def change() -> int:
        changes = 0
        while not stop.is_set():
            await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
            changes += 1
        return changes

    changing = asyncio.create_task(change())
    copies = [await backed_up(settings, data_dir / f"backup-{n}") for n in range(3)]
    stop.set()
    assert await changing > 3
    for copied in copies:
        assert copied["problems"] == [], "the audit of the copy ends with the event that the installation names"
        assert copied["auditEvents"] == copied["revision"]
    assert copies[0]["revision"] < copies[-1]["revision"]
