"""A sign-in proxy names the person for whom it sends a request: `X-Acting-User`, and `X-Acting-Role` for a lower role.

Anyone can send a header. These count only together with the credentials of a client with the feature `acts_for_users`,
and only from a trusted proxy. In every other case the request is refused: a header that is ignored would give somebody
the rights of the client instead of their own.
"""

from typing import Final

from aiohttp import web
from multidict import istr

from gql_secrets.api.authentication.access_tokens import ACCESS_TOKENS
from gql_secrets.api.keys import TRUSTED_PROXIES
from gql_secrets.api.web.client_address import is_trusted_proxy
from gql_secrets.domain.access import Caller, acting_caller
from gql_secrets.domain.errors import Forbidden

# Found in less time than plain texts, whose case is folded each time.
USER_HEADER: Final = istr("X-Acting-User")
ROLE_HEADER: Final = istr("X-Acting-Role")


def act_for_user(request: web.Request, caller: Caller) -> Caller:
    """Return the person whom the request names, with the credentials of the caller; the caller where it names none.

    Raises:
        Forbidden: it names one and must not, or not in this way; `reason` is `ACTING_USER`.
    """
    headers = request.headers
    if USER_HEADER not in headers and ROLE_HEADER not in headers:
        return caller
    users, roles = headers.getall(USER_HEADER, ()), headers.getall(ROLE_HEADER, ())
    if not is_trusted_proxy(request.remote, request.app[TRUSTED_PROXIES]):
        raise _refusal(f"{USER_HEADER} and {ROLE_HEADER} are accepted only from a trusted proxy.")
    if len(users) != 1 or len(roles) > 1:
        raise _refusal(f"Send {USER_HEADER} once, and {ROLE_HEADER} at most once.")
    person = acting_caller(caller, users[0], roles[0] if roles else None)
    # Names begin with the client id here, and with the host of the issuer for people with access tokens.
    hosts = {issuer.partition("://")[2].partition("/")[0] for issuer in request.app[ACCESS_TOKENS].providers}
    if caller.name in hosts:
        raise _refusal("The people of this client would look like those of an identity provider.")
    return person


def _refusal(sentence: str) -> Forbidden:
    return Forbidden(sentence, reason="ACTING_USER")
