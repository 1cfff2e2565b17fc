"""Accepting an audit log that was edited outside gql-secrets, so that its head is signed again."""

import hashlib

from gql_secrets.domain.access import Caller, Role, require_role
from gql_secrets.domain.audit import AuditAction, parse_reason
from gql_secrets.domain.errors import BadRequest
from gql_secrets.service.audit_append import append_to_audit
from gql_secrets.service.audit_events import add_content
from gql_secrets.service.audit_log import AuditLog, read_start
from gql_secrets.service.changes import Change, Changes
from gql_secrets.storage.models import AuditEvent


async def accept_audit(changes: Changes, *, by: Caller, reason: str) -> str:
    """Accept the audit log as it is, sign its head again, and return the problem that was accepted.

    The event has a digest of everything before it: a later edit of that is reported as before.

    Raises:
        BadRequest: there is no reason, or nothing to accept.
        InvalidReason: the reason is too long, or has control characters.
    """
    require_role(by, Role.ADMIN)
    why = parse_reason(reason)
    if why is None:
        raise BadRequest("Give a reason for accepting the edited audit log.", argument="reason")
    problem = (await AuditLog(changes.database, changes.pepper).verify()).problem
    if problem is None:
        raise BadRequest("The audit log is intact. There is nothing to accept.")

    async def work(change: Change) -> None:
        require_role(change.caller, Role.ADMIN)
        content = hashlib.sha256()
        last, head = await read_start(change.connection)
        query = AuditEvent.filter(revision__gt=last).using_db(change.connection).prefetch_related("ended_secrets")
        async for event in query.order_by("revision"):
            add_content(content, event)
            last, head = event.revision, event.hash
        change.installation.revision = max(change.installation.revision, last)
        change.installation.audit_head = head
        entry = change.entry(AuditAction.AUDIT_ACCEPTED, reason=why, accepted=content.hexdigest())
        await append_to_audit(change.tx, change.installation, [entry], change.pepper, accepting=True)

    await changes.change_installation(by, work)
    return problem
