"""Callers of `/clients` sign in with Basic, or with `client_id` and `client_secret` among the arguments."""

from typing import Final

from aiohttp import hdrs, web

from gql_secrets.api.authentication import Authenticator, authenticate
from gql_secrets.api.authentication.basic import Credentials, authenticate_client, parse_basic
from gql_secrets.api.authentication.refusal import refuse_credentials
from gql_secrets.api.clients_api.arguments import CREDENTIAL_ARGUMENTS, Arguments
from gql_secrets.api.clients_api.errors import ClientsApiError, Code
from gql_secrets.domain.access import Caller, Surface

_SCHEME: Final = "basic"


async def authenticate_call(request: web.Request, arguments: Arguments) -> Caller:
    """Return the client that calls.

    Raises:
        ClientsApiError: there are no credentials, or of another kind, such as a signature.
        BadCredentials: they are not valid, or there are two different ones.
        Forbidden: they are valid, but not from this address.
        Unavailable: the database is unavailable.
    """
    caller = await authenticate(request, Surface.CLIENTS_API, (_form_authenticator(arguments),))
    if caller.is_anonymous:
        raise ClientsApiError(
            Code.INVALID_CLIENT_CREDENTIALS,
            "client credentials are missing: send them with Basic, or as the form fields client_id and client_secret",
        )
    return caller


def _form_authenticator(arguments: Arguments) -> Authenticator:
    """Return the authenticator that reads the header and the arguments: credentials in both must be the same."""

    async def authenticate_form(request: web.Request, surface: Surface) -> Caller | None:
        headers = request.headers.getall(hdrs.AUTHORIZATION, ())
        if any(header.partition(" ")[0].lower() != _SCHEME for header in headers):
            raise ClientsApiError(
                Code.INVALID_AUTH_METHOD, "request used an http auth method other than Basic or OAuth"
            )
        sent = {parse_basic(header) for header in headers}
        client_id, secret = (arguments.find(name) for name in CREDENTIAL_ARGUMENTS)
        if client_id is not None or secret is not None:
            sent.add(None if client_id is None or secret is None else Credentials(client_id, secret))
        if not sent:
            return None
        credentials = sent.pop()
        if credentials is None or sent:
            raise refuse_credentials(request)
        return await authenticate_client(request, credentials, surface)

    return authenticate_form
