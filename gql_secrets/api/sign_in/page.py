"""The sign-in page: the identity providers first, then the offer of a sign-in link."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import quote

from gql_secrets.api.web import security_headers
from gql_secrets.domain.sessions import SIGN_IN_PATH
from gql_secrets.domain.sign_in import SignInProblem

_HERE: Final = Path(__file__).parent
_STYLE: Final = (_HERE / "page.css").read_text("utf-8")
_SCRIPT: Final = (_HERE / "page.js").read_text("utf-8")
_PAGE: Final = (_HERE / "page.html").read_text("utf-8").replace("/*style*/", _STYLE).replace("/*script*/", _SCRIPT)

# Nothing that came with the request is on the page: a problem is one of these sentences.
_PROBLEMS: Final = {
    SignInProblem.STATE: "This sign-in was not started in this browser, or it has already ended. Start again.",
    SignInProblem.EXPIRED: "The sign-in took too long. Start again.",
    SignInProblem.ISSUER: "The answer came from a different identity provider than the one asked. Start again.",
    SignInProblem.DENIED: "The identity provider did not sign you in.",
    SignInProblem.TOKEN: "The identity provider's answer is not valid. Start again; if it happens again, tell the "
    "operator of this server, whose log has the reason.",
    SignInProblem.REPLAYED: "This sign-in was already completed. Start again.",
    SignInProblem.ROLE: "You are signed in at the identity provider, but it gives you no role here. Ask an "
    "administrator for one.",
    SignInProblem.LOGGED_OUT: "The identity provider signed you out in the meantime. Start again.",
    SignInProblem.UNAVAILABLE: "The identity provider does not answer. Try again.",
    SignInProblem.BUSY: "The server is busy. Try again.",
    SignInProblem.TOO_MANY: "Too many sign-ins from your network were refused. Try again in a minute.",
}


def _hash_of(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


HEADERS: Final = security_headers.sign_in_page(script=_hash_of(_SCRIPT), style=_hash_of(_STYLE))


def render(providers: Iterable[tuple[str, str]], problem: str) -> str:
    """Return the page.

    Args:
        providers: the name and the issuer of each identity provider.
        problem: the name of a `SignInProblem`, as the URL has it; any other text shows nothing.
    """
    offers = "".join(
        f'<p><a class="provider" href="{SIGN_IN_PATH}/start?issuer={escape(quote(issuer, safe=""))}">'
        f"Sign in with {escape(name)}</a></p>\n"
        for name, issuer in providers
    )
    known = {str(each): text for each, text in _PROBLEMS.items()}
    alert = f'<p role="alert">{escape(known[problem])}</p>\n' if problem in known else ""
    return _PAGE.replace("<!--problem-->", alert).replace("<!--providers-->", offers)
