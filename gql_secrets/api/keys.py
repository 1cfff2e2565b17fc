"""What the application and each request carry for handlers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gql_secrets.api.metrics.counters import Counters
from gql_secrets.api.sign_in.cookie import SessionCookie
from gql_secrets.api.web.client_address import RequestSource, TrustedProxies
from gql_secrets.api.web.origin import OwnOrigin
from gql_secrets.domain.access import Caller
from gql_secrets.graphql_server.http import GraphQLEndpoint
from gql_secrets.graphql_server.websocket import Sockets
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

SERVER_NAME: Final = "gql-secrets"  # the `Server` header: without a version, and without aiohttp's
SETTINGS: Final = web.AppKey("settings", Settings)
SERVICES: Final = web.AppKey("services", Services)
COUNTERS: Final = web.AppKey("counters", Counters)
DRAINING: Final = web.AppKey("draining", asyncio.Event)
TRUSTED_PROXIES: Final = web.AppKey("trusted_proxies", TrustedProxies)
GRAPHQL: Final = web.AppKey("graphql", GraphQLEndpoint)
SOCKETS: Final = web.AppKey("sockets", Sockets)
OWN_ORIGIN: Final = web.AppKey("own_origin", OwnOrigin)
SESSION_COOKIE: Final = web.AppKey("session_cookie", SessionCookie)
# Looks at the role of the session with this cookie again; returns whether the session may be valid now.
LOOK_AT_ROLE: Final[web.AppKey[Callable[[str], Awaitable[bool]]]] = web.AppKey("look_at_role")
CALLER: Final = web.RequestKey("caller", Caller)
REQUEST_ID: Final = web.RequestKey("request_id", str)
TRACE_ID: Final = web.RequestKey("trace_id", str)  # only where this server makes traces
SOURCE: Final = web.RequestKey("source", RequestSource)
