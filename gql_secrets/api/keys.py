"""What handlers find on the application and on a request."""

from typing import Final

from aiohttp import web

from gql_secrets.api.addresses import TrustedProxies
from gql_secrets.api.cookies import SessionCookie
from gql_secrets.api.graphql.http import GraphQLEndpoint
from gql_secrets.api.graphql.sockets import Sockets
from gql_secrets.api.origin import OwnOrigin
from gql_secrets.services import Services
from gql_secrets.settings import Settings

SERVER_NAME: Final = "gql-secrets"  # what answers say: without a version, and without that of anything below
SETTINGS: Final = web.AppKey("settings", Settings)
SERVICES: Final = web.AppKey("services", Services)
TRUSTED_PROXIES: Final = web.AppKey("trusted_proxies", TrustedProxies)
GRAPHQL: Final = web.AppKey("graphql", GraphQLEndpoint)
SOCKETS: Final = web.AppKey("sockets", Sockets)
OWN_ORIGIN: Final = web.AppKey("own_origin", OwnOrigin)
SESSION_COOKIE: Final = web.AppKey("session_cookie", SessionCookie)
REQUEST_ID: Final = web.RequestKey("request_id", str)
