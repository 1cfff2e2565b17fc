"""A person's sign-in: the page that a link opens, its one button, the cookie, and signing out.

The link's token stands behind `#`, which browsers send to nobody: it is in no request line, no log, and no `Referer`.
Opening the page spends nothing, so a preview of the link does no harm; the button does, by a POST of our own page.
"""

import base64
import hashlib
from typing import Final

import orjson
from aiohttp import hdrs, web

from gql_secrets.api.authentication import address_if_clear
from gql_secrets.api.keys import OWN_ORIGIN, SERVICES, SESSION_COOKIE
from gql_secrets.domain.errors import Conflict, Failure, Forbidden, SignInLinkEnded, TooManySignIns, Unavailable
from gql_secrets.service.sessions import MadeLink

SIGN_IN_PATH: Final = "/sign-in"
SIGN_OUT_PATH: Final = "/sign-out"
_MAX_BODY: Final = 1024

_STYLE: Final = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { display: grid; min-height: 100vh; margin: 0; place-items: center; }
main { max-width: 26rem; padding: 2rem; }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; }
button { padding: .6rem 1.4rem; border: 0; border-radius: .4rem; background: #1f5fbf; color: #fff; font: inherit;
  font-weight: 600; cursor: pointer; }
button:hover { background: #184d9c; }
button:focus-visible { outline: 3px solid #7fb0ff; outline-offset: 2px; }
button:disabled { opacity: .6; cursor: default; }
code { font-size: .9em; }
"""
_SCRIPT: Final = """
const token = location.hash.slice(1);
const button = document.querySelector("button");
const said = document.querySelector("[role=status]");
const useless = "This address has no sign-in link in it. Open the whole link, or make another one with: " +
  "gql-secrets sign-in-link";
const end = (text) => {
  said.textContent = text;
  for (const each of document.querySelectorAll(".offer")) each.hidden = true;
};
if (token) button.hidden = false; else end(useless);
button.addEventListener("click", async () => {
  button.disabled = true;
  said.textContent = "";
  try {
    const answer = await fetch("/sign-in", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
      credentials: "same-origin",
      redirect: "error",
    });
    if (answer.ok) return location.replace("/");
    const told = (await answer.json()).message;
    if (answer.status === 401 || answer.status === 403) {
      history.replaceState(null, "", location.pathname);
      return end(told);
    }
    said.textContent = told;
  } catch {
    said.textContent = "The server does not answer. Try again.";
  }
  button.disabled = false;
});
"""
_PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Sign in · gql-secrets</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>gql-secrets</h1>
<p class="offer">This link signs you in on this browser: once, and within 15 minutes of its making.</p>
<p class="offer"><button type="button" hidden>Sign in</button></p>
<p role="status"></p>
<noscript><p>Signing in needs JavaScript: the link's token must not be sent to the server by opening it.</p></noscript>
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _hash_of(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


_PAGE_HEADERS: Final = {
    hdrs.CACHE_CONTROL: "no-store",
    hdrs.X_FRAME_OPTIONS: "DENY",
    "Content-Security-Policy": f"default-src 'none'; script-src {_hash_of(_SCRIPT)}; style-src {_hash_of(_STYLE)}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def add_session_routes(app: web.Application) -> None:
    """Serve signing in and signing out."""
    app.router.add_get(SIGN_IN_PATH, _sign_in_page)
    app.router.add_post(SIGN_IN_PATH, _sign_in)
    app.router.add_post(SIGN_OUT_PATH, _sign_out)


def url_of(link: MadeLink, public_url: str) -> str:
    """Return the address to open; here the link's token leaves."""
    return f"{public_url}{SIGN_IN_PATH}#{link.token.reveal()}"


async def _sign_in_page(_request: web.Request) -> web.Response:
    return web.Response(text=_PAGE, content_type="text/html", headers=_PAGE_HEADERS)


async def _sign_in(request: web.Request) -> web.Response:
    """Spend the link's token, and answer 204 with the cookie."""
    cookie = request.app[SESSION_COOKIE]
    try:
        request.app[OWN_ORIGIN].require_proof(request)
        token = _token_in(await _body_of(request))
        signed_in = await request.app[SERVICES].sessions.sign_in(token, instead_of=cookie.read(request))
    except SignInLinkEnded as ended:
        wait = request.app[SERVICES].limits.sign_in_failed(address_if_clear(request))
        return _refused(TooManySignIns(wait) if wait else ended)
    except Failure as failure:
        return _refused(failure)
    response = web.Response(status=204)
    cookie.write(response, signed_in.token.reveal())
    return response


async def _sign_out(request: web.Request) -> web.Response:
    """End the session, answer 204, and take the cookie back."""
    cookie = request.app[SESSION_COOKIE]
    token = cookie.read(request)
    try:
        if token is not None:
            request.app[OWN_ORIGIN].require_proof(request)
            person = await request.app[SERVICES].sessions.find(token)
            if person is not None:
                await request.app[SERVICES].sessions.end(person.session_id)
    except Failure as failure:
        return _refused(failure)
    response = web.Response(status=204)
    cookie.delete(response)
    return response


async def _body_of(request: web.Request) -> bytes:
    if request.content_type != "application/json" or (request.content_length or 0) > _MAX_BODY:
        raise SignInLinkEnded
    return await request.read()


def _token_in(body: bytes) -> str:
    try:
        token = orjson.loads(body)["token"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        token = None
    if not isinstance(token, str):
        raise SignInLinkEnded
    return token


def _refused(failure: Failure) -> web.Response:
    match failure:
        case Forbidden():
            status = 403
        case Conflict() | Unavailable():
            status = 503
        case TooManySignIns():
            status = 429
        case SignInLinkEnded():
            status = 401
        case _:
            raise failure
    # Without `WWW-Authenticate`: a browser would open its password box.
    headers = {} if failure.retry_after is None else {hdrs.RETRY_AFTER: str(failure.retry_after)}
    return web.json_response({"message": str(failure)}, status=status, headers=headers)
