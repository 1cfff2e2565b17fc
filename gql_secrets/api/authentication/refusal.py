"""What every authenticator does with credentials that are not valid."""

from aiohttp import web

from gql_secrets.api.keys import SERVICES, SOURCE
from gql_secrets.domain.errors import BadCredentials, TooManyFailures


def refuse_credentials(request: web.Request, client_id: str | None = None) -> BadCredentials:
    """Count the failure and return what to raise: TooManyFailures where there were too many.

    Args:
        request: the request with the credentials.
        client_id: the client id that they name; None where they cannot be read.
    """
    wait = request.app[SERVICES].limits.failed(request[SOURCE].address, client_id)
    return TooManyFailures(wait) if wait else BadCredentials()
