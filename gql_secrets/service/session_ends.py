"""The end of sessions and of unspent sign-in links before their time, as a part of a change.

A link, and the session that begins with it, remember the secret and the session of the caller who created the link.
When one of these ends before its time, so does what comes from it, in the same transaction. Links are created and used,
and sessions end, under the lock of the installation's row: nothing begins in between.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.sessions import SessionEndReason, is_link_valid
from gql_secrets.service.session_rows import is_valid_but_for_role
from gql_secrets.storage.models import Session, SignInLink

if TYPE_CHECKING:
    from gql_secrets.service.changes import Change

_MAKERS_OF_CLIENT = """
    SELECT id FROM client_secret WHERE client_id = ? AND (
        EXISTS (SELECT 1 FROM session x WHERE x.maker_secret_id = client_secret.id)
        OR EXISTS (SELECT 1 FROM sign_in_link x WHERE x.maker_secret_id = client_secret.id)
    )
"""


async def end_sessions(change: "Change", sessions: Iterable[Session], reason: SessionEndReason) -> int:
    """End these sessions, and what comes from them; return how many of these were valid until now."""
    rows = list(sessions)
    ended = await _end(change, rows, reason)
    seen, makers = set[int](), {row.id for row in rows}
    while makers:
        seen |= makers
        links = SignInLink.filter(maker_session_id__in=list(makers))
        await void_links(change, await links.using_db(change.connection))
        made = await Session.filter(maker_session_id__in=list(makers)).using_db(change.connection)
        await _end(change, made, SessionEndReason.MAKER_ENDED)
        makers = {row.id for row in made} - seen
    return ended


async def end_what_secrets_made(
    change: "Change", secret_ids: Collection[int], reason: SessionEndReason = SessionEndReason.MAKER_ENDED
) -> None:
    """End the sessions and void the unspent links that come from these secrets."""
    if not secret_ids or not await _is_maker(change, secret_ids):
        return
    links = SignInLink.filter(maker_secret_id__in=list(secret_ids))
    await void_links(change, await links.using_db(change.connection))
    sessions = Session.filter(maker_secret_id__in=list(secret_ids))
    await end_sessions(change, await sessions.using_db(change.connection), reason)


async def end_what_client_made(
    change: "Change", client_id: str, reason: SessionEndReason = SessionEndReason.MAKER_ENDED
) -> None:
    """End the sessions and void the unspent links that come from any secret that the client ever had."""
    makers = await change.tx.fetch(_MAKERS_OF_CLIENT, [client_id])
    await end_what_secrets_made(change, [row["id"] for row in makers], reason)


async def _is_maker(change: "Change", secret_ids: Collection[int]) -> bool:
    """Return whether anything comes from these secrets: nearly always nothing does, and one question is enough."""
    marks = ", ".join("?" * len(secret_ids))
    statement = f"""
        SELECT EXISTS (SELECT 1 FROM session WHERE maker_secret_id IN ({marks}))
            OR EXISTS (SELECT 1 FROM sign_in_link WHERE maker_secret_id IN ({marks})) AS found
    """  # noqa: S608  placeholders
    [row] = await change.tx.fetch(statement, [*secret_ids, *secret_ids])
    return bool(row["found"])


async def void_links(change: "Change", links: Iterable[SignInLink]) -> int:
    """Void those of these links that are valid, and return how many."""
    valid = [
        row
        for row in links
        if is_link_valid(expires_at=row.expires_at, spent_at=row.spent_at, voided_at=row.voided_at, now=change.now)
    ]
    if not valid:
        return 0
    query = SignInLink.filter(id__in=[row.id for row in valid]).using_db(change.connection)
    await query.update(voided_at=change.now)
    await change.record_each(
        [
            change.entry(
                AuditAction.SIGN_IN_LINK_VOIDED,
                place=place,
                link_number=row.id,
                person_name=row.name,
                person_role=row.role,
            )
            for place, row in enumerate(valid)
        ]
    )
    return len(valid)


async def _end(change: "Change", sessions: Iterable[Session], reason: SessionEndReason) -> int:
    """End those of these sessions that are valid, or could become so; return how many.

    Running out of time is not an event.
    """
    valid = [row for row in sessions if is_valid_but_for_role(row, change.now)]
    if not valid:
        return 0
    query = Session.filter(id__in=[row.id for row in valid]).using_db(change.connection)
    await query.update(ended_at=change.now)
    await change.record_each(
        [
            change.entry(
                AuditAction.SESSION_ENDED,
                place=place,
                link_number=row.link_number,
                session_number=row.id,
                person_name=row.name,
                person_role=row.role,
                session_end_reason=reason,
            )
            for place, row in enumerate(valid)
        ]
    )
    return len(valid)
