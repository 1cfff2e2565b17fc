"""People sign in with a session, whose cookie the browser sends."""

from aiohttp import web

from gql_secrets.api.keys import LOOK_AT_ROLE, OWN_ORIGIN, REQUEST_ID, SERVICES, SESSION_COOKIE, SOURCE
from gql_secrets.api.web.aiohttp_internals.connection import protect_connection
from gql_secrets.domain.access import ActorKind, Caller, Surface
from gql_secrets.service.sessions import Person


async def authenticate_session(request: web.Request, surface: Surface) -> Caller | None:
    """Return the person whose session the cookie names; None without a cookie, or for an unknown or ended session.

    Raises:
        CrossOriginRefused: a page of another site sent the request, or the request came by another host name: the
            browser added the cookie, but the person did not send it.
        Unavailable: the database is unavailable.
    """
    token = request.app[SESSION_COOKIE].read(request)
    if not token:
        return None
    sessions = request.app[SERVICES].sessions
    person = await sessions.find(token)
    if person is None and await request.app[LOOK_AT_ROLE](token):
        person = await sessions.find(token)
    if person is None:
        return None
    request.app[OWN_ORIGIN].require_own_host(request)
    request.app[OWN_ORIGIN].refuse_cross_site(request)
    protect_connection(request)
    return caller_of(request, person, surface)


def caller_of(request: web.Request, person: Person, surface: Surface) -> Caller:
    """Return the caller who a person is in this request."""
    return Caller(
        name=person.identity,
        kind=ActorKind.USER,
        role=person.role,
        surface=surface,
        address=request[SOURCE].address,
        request_id=request[REQUEST_ID],
        session_id=person.session_id,
        display_name=person.name,
    )
