"""What the tests' installations have in common, and the types of the fixtures that make them."""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import encode_basic_auth

from gql_secrets.api.keys import SERVICES
from gql_secrets.wiring import Services
from support.callers import Made

# Any 32 bytes that do not repeat; nothing but the tests' databases is ever digested with them.
PEPPER = "test:" + base64.urlsafe_b64encode(hashlib.sha256(b"pepper of the tests").digest()).decode().rstrip("=")

MakeClient = Callable[..., Awaitable[Made]]
OpenNode = Callable[..., Awaitable[Services]]

BuildApi = Callable[..., Awaitable[Any]]
"""Starts a server with these settings."""


def as_owner(api: Any) -> dict[str, str]:
    made = api.app[SERVICES].first_owner
    return {"Authorization": encode_basic_auth(made.client.client_id, made.secret.reveal())}
