"""The log-outs of identity providers, kept for as long as a sign-in that began before one may still complete.

A log-out ends the sessions that there are. While a code is being redeemed, there is none yet.
"""

from datetime import datetime

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.sign_in import MAX_AUTHORIZATION, ProviderPerson
from gql_secrets.storage.models import ProviderLogOut


async def note_log_out(
    connection: BaseDBAsyncClient, issuer: str, *, subject: str | None, provider_session: str | None, now: datetime
) -> None:
    """Keep a log-out, and delete those that no sign-in can meet now."""
    await ProviderLogOut.filter(received_at__lt=now - 2 * MAX_AUTHORIZATION).using_db(connection).delete()
    await ProviderLogOut.create(
        using_db=connection, issuer=issuer, subject=subject, provider_session=provider_session, received_at=now
    )


async def was_logged_out(connection: BaseDBAsyncClient, person: ProviderPerson, since: datetime) -> bool:
    """Return whether the provider logged the person out after a sign-in began."""
    kept = await ProviderLogOut.filter(issuer=person.issuer, received_at__gte=since).using_db(connection)
    return any(_names(each, person) for each in kept)


def _names(log_out: ProviderLogOut, person: ProviderPerson) -> bool:
    if log_out.subject not in (None, person.subject):
        return False
    # Of a person whose ID token names no session, the subject is all that is known.
    is_session = log_out.provider_session == person.provider_session
    return log_out.provider_session is None or is_session or (person.provider_session is None and bool(log_out.subject))
