"""An OpenID provider on loopback, made of Authlib and Flask: authlib_provider.py <port> <JSON: its options>.

Authlib decides about codes, PKCE, clients, refresh tokens and all tokens; this program keeps what it is given. The
options are `people`, with the claims of each; `callback` and `secret`, of the console's client; and `algorithm`, with
which ID tokens are signed. There is no log-out of any kind, and access tokens have no `kid`.
"""

import json
import os
import sys
from dataclasses import dataclass
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import OpenIDCode
from flask import Flask, request
from joserfc.jwk import OctKey, RSAKey
from werkzeug.serving import make_server

PORT, OPTIONS = int(sys.argv[1]), json.loads(sys.argv[2])
ISSUER = f"http://localhost:{PORT}"
API = "gql-secrets-api"
KEY = RSAKey.generate_key(2048, {"kid": "signing"})
FORM = '<form method="post"><input name="person"><button>Sign in</button><button name="denies" value="1">Deny</button>'


@dataclass
class Client(ClientMixin):
    id: str
    secret: str
    callback: str

    def get_client_id(self):
        return self.id

    def get_default_redirect_uri(self):
        return self.callback

    def get_allowed_scope(self, scope: Any):
        return scope

    def check_redirect_uri(self, redirect_uri: Any):
        return redirect_uri == self.callback

    def check_client_secret(self, client_secret: Any):
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: Any, endpoint: Any):
        del endpoint
        return method == ("client_secret_basic" if self.secret else "none")

    def check_response_type(self, response_type: Any):
        return response_type == "code"

    def check_grant_type(self, grant_type: Any):
        return grant_type in {"authorization_code", "refresh_token"}


@dataclass
class Person:
    name: str

    def get_user_id(self):
        return self.name

    @property
    def claims(self) -> dict[str, Any]:
        return {"sub": self.name, **OPTIONS["people"].get(self.name, {})}


@dataclass
class Code(AuthorizationCodeMixin):
    code: str
    person: str
    scope: str
    redirect_uri: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return self.nonce

    def get_auth_time(self):
        return None

    def get_acr(self):
        return None

    def get_amr(self):
        return None


@dataclass
class Token(TokenMixin):
    person: str
    scope: str

    def check_client(self, client: Any):
        return client is CLIENT

    def get_scope(self):
        return self.scope

    def is_expired(self):
        return False

    def is_revoked(self):
        return False


CLIENT = Client("the-console", OPTIONS["secret"], OPTIONS["callback"])
codes: dict[str, Code] = {}
access_tokens: dict[str, Token] = {}
refresh_tokens: dict[str, Token] = {}


class Codes(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "none")

    def save_authorization_code(self, code: Any, request: Any):
        asked = request.payload
        given = {name: asked.data.get(name) for name in ("nonce", "code_challenge", "code_challenge_method")}
        codes[code] = Code(code, request.user.name, asked.scope, asked.redirect_uri, **given)

    def query_authorization_code(self, code: Any, client: Any):
        del client
        return codes.get(code)

    def delete_authorization_code(self, authorization_code: Any):
        del codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Any):
        return Person(authorization_code.person)


class Refreshes(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "none")
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: Any):
        return refresh_tokens.pop(refresh_token, None)

    def authenticate_user(self, refresh_token: Any):
        return Person(refresh_token.person)

    def revoke_old_credential(self, refresh_token: Any):
        """It was taken out when it was read."""


class IdTokens(OpenIDCode):
    def exists_nonce(self, nonce: Any, request: Any):
        del request
        return any(code.nonce == nonce for code in codes.values())

    def resolve_client_private_key(self, client: Any):
        return OctKey.import_key(client.secret) if OPTIONS["algorithm"].startswith("HS") else KEY

    def get_client_algorithm(self, client: Any):
        del client
        return OPTIONS["algorithm"]

    def get_client_claims(self, client: Any):
        return {"iss": ISSUER, "aud": [client.get_client_id()]}

    def generate_user_info(self, user: Any, scope: Any):
        del scope
        return user.claims


class AccessTokens(JWTBearerTokenGenerator):
    def get_jwks(self):
        return KEY

    def get_audiences(self, client: Any, user: Any, scope: Any):
        del client, user, scope
        return [API]

    def get_extra_claims(self, client: Any, grant_type: Any, user: Any, scope: Any):
        del client, grant_type, scope
        return user.claims


class Issuer(IssuerParameter):
    def get_issuer(self):
        return ISSUER


class Validator(BearerTokenValidator):
    def authenticate_token(self, token_string: Any):
        return access_tokens.get(token_string)


def save_token(token: dict[str, str], request: Any) -> None:
    kept = Token(request.user.name, token["scope"])
    access_tokens[token["access_token"]] = kept
    refresh_tokens[token["refresh_token"]] = kept


os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
app = Flask(__name__)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
server = AuthorizationServer(app, lambda client_id: CLIENT if client_id == CLIENT.id else None, save_token)
server.register_grant(Codes, [IdTokens(require_nonce=True), CodeChallenge(required=True)])
server.register_grant(Refreshes, [IdTokens()])
server.register_extension(Issuer())
server.register_token_generator(
    "default", AccessTokens(ISSUER, refresh_token_generator=lambda **_: os.urandom(16).hex())
)
protect = ResourceProtector()
protect.register_token_validator(Validator())


@app.get("/.well-known/openid-configuration")
def discover() -> dict[str, Any]:
    return {
        "issuer": ISSUER,
        "jwks_uri": f"{ISSUER}/keys",
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "userinfo_endpoint": f"{ISSUER}/userinfo",
        "authorization_response_iss_parameter_supported": True,
        "id_token_signing_alg_values_supported": [OPTIONS["algorithm"]],
    }


@app.get("/keys")
def publish_keys() -> dict[str, Any]:
    return {"keys": [KEY.as_dict(private=False)]}


@app.route("/authorize", methods=["GET", "POST"])
def authorize() -> Any:
    try:
        grant = server.get_consent_grant(end_user=None)
    except OAuth2Error as error:
        return server.handle_error_response(server.create_oauth2_request(None), error)
    if request.method == "GET":
        return FORM
    person = None if "denies" in request.form else Person(request.form["person"])
    return server.create_authorization_response(grant_user=person, grant=grant)


@app.post("/token")
def issue_token() -> Any:
    return server.create_token_response()


@app.get("/userinfo")
@protect("openid")
def tell_user_info() -> dict[str, Any]:
    return Person(current_token.person).claims


@app.post("/revocations/<person>")
def revoke(person: str) -> str:
    """End what the provider gave a person: not a part of any standard."""
    for kept in (access_tokens, refresh_tokens):
        for text in [text for text, token in kept.items() if token.person == person]:
            del kept[text]
    return ""


@app.put("/people/<person>")
def change_claims(person: str) -> str:
    OPTIONS["people"][person] = request.get_json()
    return ""


if __name__ == "__main__":
    listening = make_server("localhost", PORT, app, threaded=True)
    print("ready", ISSUER, flush=True)
    listening.serve_forever()
