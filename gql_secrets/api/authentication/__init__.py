"""From a request to who is calling: the only place that reads credentials off a request."""

import binascii
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from gql_secrets.api.keys import OWN_ORIGIN, REQUEST_ID, SERVICES, SESSION_COOKIE, TRUSTED_PROXIES
from gql_secrets.api.web.client_address import AddressUnclear, TrustedProxies, client_address
from gql_secrets.domain.access import ActorKind, Caller, Surface, parse_features, role_of
from gql_secrets.domain.errors import BadCredentials, Forbidden, TooManyFailures
from gql_secrets.service.sessions import Person
from gql_secrets.service.usage.counter import Source
from gql_secrets.service.verification import Accepted, RefusalReason

CHALLENGE: Final = 'Basic realm="gql-secrets", charset="UTF-8"'
_MAX_HEADER: Final = 8192
_BASIC: Final = "basic "


class Credentials(NamedTuple):
    """A client id and a secret, as RFC 7617 carries them."""

    client_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Credentials({self.client_id!r}, …)"


def parse_basic(header: str) -> Credentials | None:
    """Return the credentials of an `Authorization: Basic` header (RFC 7617), or None where it holds none.

    Split at the first colon, UTF-8, no percent-decoding.
    """
    if header[: len(_BASIC)].lower() != _BASIC or len(header) > _MAX_HEADER:
        return None
    try:
        pair = binascii.a2b_base64(header[len(_BASIC) :].strip(" "), strict_mode=True).decode()
    except ValueError:
        return None
    client_id, colon, secret = pair.partition(":")
    return Credentials(client_id, secret) if colon else None


def source_of(request: web.BaseRequest, trusted: TrustedProxies) -> Source:
    """Return where a request came from, as far as its peers are trusted to say it.

    Raises:
        AddressUnclear: the address cannot be told.
    """
    headers = request.headers
    return Source(client_address(request.remote, headers, trusted), headers.get(hdrs.USER_AGENT))


async def authenticate(request: web.Request, surface: Surface) -> Caller:
    """Return who is calling, the explicit anonymous caller where nobody is signed in.

    The `Authorization` header goes before a session's cookie, and only GraphQL knows cookies.

    Raises:
        BadCredentials: credentials came and are not good, or are of a scheme that is not known here; TooManyFailures
            where too many were not.
        Forbidden: they are good, but not from this address (`reason` is `ADDRESS`), or a session's cookie came with a
            page that is not ours (`ORIGIN`).
        Unavailable: the database does not answer.
    """
    headers = request.headers.getall(hdrs.AUTHORIZATION, ())
    if len(headers) > 1:
        raise refused(request, None)
    if headers:
        return await authenticate_header(request, headers[0], surface)
    person = await _person_of(request) if surface is Surface.GRAPHQL else None
    if person is None:
        return Caller.anonymous(surface, address=address_if_clear(request), request_id=request[REQUEST_ID])
    return Caller(
        name=person.name,
        kind=ActorKind.USER,
        role=person.role,
        surface=surface,
        address=address_if_clear(request),
        request_id=request[REQUEST_ID],
        session_id=person.session_id,
    )


async def authenticate_header(request: web.Request, header: str, surface: Surface) -> Caller:
    """Return who holds the credentials of an `Authorization` header, wherever it was written.

    Raises:
        BadCredentials: they are not good, or of a scheme that is not known here.
        Forbidden: they are good, but not from this address.
        Unavailable: the database does not answer.
    """
    credentials = parse_basic(header)
    if credentials is None:
        raise refused(request, None)
    return await authenticate_client(request, credentials, surface)


async def _person_of(request: web.Request) -> Person | None:
    """Return whose session the request's cookie names; an unknown or ended session is nobody's.

    Raises:
        ForeignOrigin: another site's page sent the request, and the browser added the cookie; or it came by another
            site's name.
    """
    token = request.app[SESSION_COOKIE].read(request)
    person = await request.app[SERVICES].sessions.find(token) if token else None
    if person is not None:
        request.app[OWN_ORIGIN].require_home(request)
        request.app[OWN_ORIGIN].refuse_foreign(request)
    return person


async def authenticate_client(request: web.Request, credentials: Credentials, surface: Surface) -> Caller:
    """Return the API client that holds these credentials.

    Raises:
        BadCredentials: they are not good.
        Forbidden: they are good, but not from this address.
        Unavailable: the database does not answer.
    """
    services = request.app[SERVICES]
    try:
        source = source_of(request, request.app[TRUSTED_PROXIES])
        unclear = None
    except AddressUnclear as error:
        source, unclear = Source(None, request.headers.get(hdrs.USER_AGENT)), error
    verdict = await services.verifier.verify(credentials.client_id, credentials.secret, source)
    if not isinstance(verdict, Accepted):
        if verdict.reason is RefusalReason.ADDRESS:
            raise unclear or Forbidden("This client may not call from this address.", reason="ADDRESS")
        raise refused(request, credentials.client_id)
    if unclear is not None:
        raise unclear
    features = (await services.reading.features([verdict.client_id])).get(verdict.client_id, ())
    return Caller(
        name=verdict.client_id,
        kind=ActorKind.API_CLIENT,
        role=role_of(parse_features(features)),
        surface=surface,
        address=source.address,
        request_id=request[REQUEST_ID],
        secret_id=verdict.secret_id,
        secret_state=verdict.state,
    )


def refused(request: web.Request, client_id: str | None) -> BadCredentials:
    """Count credentials that are not good; return what is told about them.

    Args:
        request: what brought them.
        client_id: the client id that they named, None where they could not be read.
    """
    wait = request.app[SERVICES].limits.failed(address_if_clear(request), client_id)
    return TooManyFailures(wait) if wait else BadCredentials()


def address_if_clear(request: web.Request) -> str | None:
    """Return where a request came from, None where that cannot be told."""
    try:
        return source_of(request, request.app[TRUSTED_PROXIES]).address
    except AddressUnclear:
        return None
