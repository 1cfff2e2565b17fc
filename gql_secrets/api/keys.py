"""What handlers find on the application and on a request."""

from typing import Final

from aiohttp import web

from gql_secrets.api.addresses import TrustedProxies
from gql_secrets.services import Services
from gql_secrets.settings import Settings

SETTINGS: Final = web.AppKey("settings", Settings)
SERVICES: Final = web.AppKey("services", Services)
TRUSTED_PROXIES: Final = web.AppKey("trusted_proxies", TrustedProxies)
REQUEST_ID: Final = web.RequestKey("request_id", str)
