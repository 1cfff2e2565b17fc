"""`auditExport`: the audit log as lines that can be verified later."""

import json
from typing import Any

import pytest
from support.callers import Made
from support.installation import MakeClient

from gql_secrets.service.audit_log import MAX_EXPORT, AuditLog
from gql_secrets.wiring import Services


def export(after: int, first: int) -> str:
    return f"{{ auditExport(after: {after}, first: {first}) }}"


async def test_it_has_the_lines_of_an_export_page_by_page(
    gql: Any, owner: Made, services: Services, make_client: MakeClient
) -> None:
    for _ in range(4):
        await make_client()
    exported = [line async for line in AuditLog(services.database, services.changes.pepper).export()]
    lines: list[str] = []
    while page := (await gql(export(len(lines), 2), as_=owner))["auditExport"]:
        assert len(page) <= 2
        lines += page
    assert lines == exported
    assert [json.loads(line)["revision"] for line in lines] == list(range(1, len(lines) + 1))


@pytest.mark.parametrize("first", [-1, MAX_EXPORT + 1])
async def test_a_page_has_a_bound(gql: Any, owner: Made, first: int) -> None:
    assert (await gql(export(0, first), as_=owner)).codes == ["BAD_REQUEST"]
    assert (await gql(export(0, 0), as_=owner))["auditExport"] == []
