"""Sends events to endpoints, whose addresses an attacker may have chosen.

Every address of the name is checked for each delivery, and the connection goes to one of the checked addresses, with
the name in SNI and certificate: a name that changes its address between the check and the connection gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from gql_secrets.domain.networks import Network
from gql_secrets.domain.webhooks import may_deliver_to
from gql_secrets.service.webhooks.courier import Answer

SECONDS: Final = 5.0
MAX_ANSWER_BYTES: Final = 64 * 1024
_PIECE: Final = 16 * 1024
_REFUSED: Final = "The endpoint refused the connection."
_UNREACHABLE: Final = "The endpoint could not be reached."
# The first that fits: some are subclasses of later ones.
_REASONS: Final = (
    (aiohttp.ClientConnectorDNSError, "The name of the endpoint could not be resolved."),
    (aiohttp.ClientConnectorCertificateError, "The certificate of the endpoint is not valid for its name."),
    (aiohttp.ClientSSLError, "The TLS handshake with the endpoint failed."),
    (aiohttp.ClientConnectorError, _UNREACHABLE),
    (
        (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError),
        "The endpoint closed the connection before its answer was complete.",
    ),
    ((aiohttp.ClientResponseError, aiohttp.ClientPayloadError), "The endpoint's answer was not valid HTTP."),
)


class _AddressRefusedError(OSError):
    """The endpoint has an address that webhooks do not deliver to."""


class _CheckedResolver(AbstractResolver):
    """Resolves a name to addresses that were checked."""

    def __init__(self, networks: Sequence[Network], *, only_networks: bool) -> None:
        self._networks = networks
        self._only_networks = only_networks

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name, if all of them may be delivered to.

        Raises:
            OSError: one of them may not, or the name has none.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        addresses = [(kind, info[0].partition("%")[0]) for kind, _, _, _, info in found if isinstance(info[0], str)]
        for _, text in addresses:
            require_allowed(text, self._networks, only_networks=self._only_networks)
        return [
            ResolveResult(hostname=host, host=text, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, text in addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


def require_allowed(address: str, networks: Sequence[Network], *, only_networks: bool) -> None:
    """Pass if an endpoint may have this address.

    Args:
        address: the address.
        networks: the operator's own networks that are allowed.
        only_networks: whether it must be in them, as for http.

    Raises:
        OSError: it may not.
    """
    parsed = ipaddress.ip_address(address)
    is_own = any(parsed in network for network in networks)
    is_allowed = is_own if only_networks else may_deliver_to(parsed, networks)
    if not is_allowed:
        raise _AddressRefusedError("The address of the endpoint is not allowed.")


class WebhookSender:
    """Sends events. It follows no redirects, and reads no more than 64 KiB of an answer."""

    def __init__(self, networks: Sequence[Network], *, seconds: float = SECONDS) -> None:
        """Deliver to public addresses by https, and to these networks by https or http."""
        self._networks = networks
        self._seconds = seconds

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send an event; return what the endpoint answered. An exception is never raised for an endpoint."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._send(url, headers, body)
        except TimeoutError:
            return Answer(None, f"The endpoint did not answer within {self._seconds:.0f} s.")
        except _AddressRefusedError as refused:
            return Answer(None, str(refused))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = error.__cause__ or getattr(error, "os_error", None)
            if isinstance(cause, _AddressRefusedError):
                return Answer(None, str(cause))
            return Answer(None, _reason_of(error))

    async def _send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urlsplit(url)
        only_networks = parts.scheme != "https"
        if (literal := _literal(parts.hostname or "")) is not None:
            require_allowed(literal, self._networks, only_networks=only_networks)
        connector = aiohttp.TCPConnector(
            resolver=_CheckedResolver(self._networks, only_networks=only_networks),
            use_dns_cache=False,
            force_close=True,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers={"User-Agent": "gql-secrets-webhooks"},
                max_line_size=8190,
                max_field_size=8190,
            ) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            rest = MAX_ANSWER_BYTES
            while rest > 0 and (piece := await response.content.read(min(rest, _PIECE))):
                rest -= len(piece)
            return Answer(response.status)


def _reason_of(error: Exception) -> str:
    """Return why there is no answer, without the error's own text: that can contain the URL, and a token in it."""
    refused = isinstance(getattr(error, "os_error", None), ConnectionRefusedError)
    return _REFUSED if refused else next((text for kind, text in _REASONS if isinstance(error, kind)), _UNREACHABLE)


def _literal(host: str) -> str | None:
    """Return the host if it is an address: no name is resolved then."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
