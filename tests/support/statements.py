"""The statements that services read with."""

from typing import Any

import pytest

from gql_secrets.wiring import Services


def record_reads(services: Services, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[object]]:
    """Return a dictionary that each statement is added to from now on, with its values."""
    statements: dict[str, list[object]] = {}
    fetch = services.database.fetch_rows

    async def listening(statement: str, values: Any = ()) -> Any:
        statements[statement] = list(values)
        return await fetch(statement, values)

    monkeypatch.setattr(services.database, "fetch_rows", listening)
    return statements
