"""Webhooks by the Standard Webhooks specification: their events, URLs, signatures, and when a delivery is repeated."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final
from urllib.parse import urlsplit

from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.error_codes import ErrorCode
from gql_secrets.domain.errors import Refusal
from gql_secrets.domain.networks import Address, Network
from gql_secrets.domain.texts import is_writable

MAX_WEBHOOKS: Final = 20
MAX_URL: Final = 2000
MAX_WEBHOOK_DESCRIPTION: Final = 200
# How long the previous signing secret signs too, after it was rotated.
SIGNING_ROLLOVER: Final = timedelta(hours=24)
# An endpoint that has failed for this long is paused, and a delivery is repeated for about as long.
MAX_FAILING: Final = timedelta(days=3)
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105  of the specification
_DELAYS: Final = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200))
_LAST_DELAY: Final = timedelta(hours=24)


class WebhookEventType(StrEnum):
    """The types of events, as the payload has them."""

    CLIENT_CREATED = "client.created"
    CLIENT_UPDATED = "client.updated"
    CLIENT_ENABLED = "client.enabled"
    CLIENT_DISABLED = "client.disabled"
    CLIENT_DELETED = "client.deleted"
    SECRET_RESET = "secret.reset"  # noqa: S105
    SECRET_REVOKED = "secret.revoked"  # noqa: S105
    SECRET_EXPIRED = "secret.expired"  # noqa: S105
    SECRET_DUE = "secret.due"  # noqa: S105
    ROLLOVER_ENDING = "rollover.ending"
    STRAGGLER_REFUSED = "straggler.refused"
    ROLLOVER_SAFE_TO_REVOKE = "rollover.safe_to_revoke"


_NAT64: Final = IPv6Network("64:ff9b::/96")
# All public IPv6 addresses are in the first network, and these parts of it are not (IANA's registries).
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NOT_PUBLIC: Final = (
    IPv6Network("2001::/32"),  # Teredo: it carries an IPv4 address
    IPv6Network("3fff::/20"),  # for documentation
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
)
# Hosts that some resolvers take for an IPv4 address, as in `127.1` and `0177.0.0.1`, and aiohttp for none.
_NUMBERS: Final = re.compile(r"[0-9.]+|0x[0-9a-f]+(\.[0-9a-fx.]*)?", re.IGNORECASE)
TEST_EVENT: Final = "webhook.test"
_TYPES: Final = {
    AuditAction.CLIENT_CREATED: WebhookEventType.CLIENT_CREATED,
    AuditAction.CLIENT_IMPORTED: WebhookEventType.CLIENT_CREATED,
    AuditAction.CLIENT_UPDATED: WebhookEventType.CLIENT_UPDATED,
    AuditAction.CLIENT_ENABLED: WebhookEventType.CLIENT_ENABLED,
    AuditAction.CLIENT_DISABLED: WebhookEventType.CLIENT_DISABLED,
    AuditAction.CLIENT_DELETED: WebhookEventType.CLIENT_DELETED,
    AuditAction.SECRET_RESET: WebhookEventType.SECRET_RESET,
    AuditAction.OLD_SECRET_REVOKED: WebhookEventType.SECRET_REVOKED,
    AuditAction.OLD_SECRET_EXPIRED: WebhookEventType.SECRET_EXPIRED,
}


class DeliveryState(StrEnum):
    """The states of a delivery."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


class InvalidWebhook(Refusal):
    """The URL, the events or the description of a webhook are invalid, or there are too many webhooks."""

    code = ErrorCode.INVALID_WEBHOOK

    def __init__(self, text: str, *, argument: str | None = None) -> None:
        super().__init__(text)
        self.argument = argument


class WebhookNotFound(Refusal):
    """No webhook, or no delivery, has this id."""

    code = ErrorCode.WEBHOOK_NOT_FOUND

    def __init__(self, argument: str = "webhook_id") -> None:
        super().__init__("There is no webhook or delivery with this id.")
        self.argument = argument


def event_type_of(action: str) -> WebhookEventType | None:
    """Return the type of the event of an audited change, or None if webhooks do not report it."""
    return _TYPES.get(AuditAction(action))


def parse_webhook_url(text: str, *, allows_http: bool) -> str:
    """Return the URL of an endpoint.

    Raises:
        InvalidWebhook: it is not an https URL (or http, where networks of your own are allowed), or holds a user name
            or a fragment.
    """
    url = text.strip()
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        has_more = "@" in parts.netloc or bool(parts.fragment)
    except ValueError:
        is_valid, has_more, parts = False, False, urlsplit("")
    schemes = ("https", "http") if allows_http else ("https",)
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if not is_valid or not is_plain or len(url) > MAX_URL or parts.scheme not in schemes:
        raise InvalidWebhook(
            f"The URL must be an absolute {' or '.join(schemes)} URL of at most {MAX_URL} ASCII characters.",
            argument="url",
        )
    if _NUMBERS.fullmatch(parts.hostname or "") and not _is_address(parts.hostname or ""):
        raise InvalidWebhook("Write the address of the endpoint as four numbers, or use its name.", argument="url")
    if has_more:
        raise InvalidWebhook("The URL must have no user name, password or fragment.", argument="url")
    return url


def _is_address(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


def parse_event_types(types: Iterable[WebhookEventType]) -> tuple[WebhookEventType, ...]:
    """Return the types in the order of their names, each once.

    Raises:
        InvalidWebhook: there is none.
    """
    chosen = tuple(sorted(set(types)))
    if not chosen:
        raise InvalidWebhook("Choose at least one type of event.", argument="events")
    return chosen


def parse_webhook_description(text: str | None) -> str | None:
    """Return the description; None for an empty one.

    Raises:
        InvalidWebhook: it is over 200 characters, or has control characters.
    """
    description = (text or "").strip()
    if len(description) > MAX_WEBHOOK_DESCRIPTION or not is_writable(description):
        raise InvalidWebhook(
            f"A description must have at most {MAX_WEBHOOK_DESCRIPTION} characters and no control characters.",
            argument="description",
        )
    return description or None


def derive_signing_key(subkey: bytes, webhook_number: int, nonce: bytes, version: int) -> bytes:
    """Return the 32 bytes that sign; nothing from which they follow without the pepper is stored."""
    message = webhook_number.to_bytes(8, "big") + len(nonce).to_bytes(4, "big") + nonce + version.to_bytes(8, "big")
    return hmac.digest(subkey, message, "sha256")


def written_signing_secret(key: bytes) -> str:
    """Return the signing secret as receivers configure it."""
    return _SECRET_PREFIX + base64.b64encode(key).decode()


def sign(keys: Iterable[bytes], event_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: one signature for each key, separated by blanks."""
    content = f"{event_id}.{timestamp}.".encode() + body
    macs = [hmac.new(key, content, hashlib.sha256).digest() for key in keys]
    return " ".join(f"v1,{base64.b64encode(mac).decode()}" for mac in macs)


def next_attempt_at(attempts: int, *, created_at: datetime, now: datetime) -> datetime | None:
    """Return when a delivery that has failed this often is attempted again; None if three days are over."""
    if now - created_at >= MAX_FAILING:
        return None
    return now + (_DELAYS[attempts - 1] if attempts <= len(_DELAYS) else _LAST_DELAY)


def parse_webhook_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of the setting.

    Raises:
        ValueError: one is not a network in CIDR notation.
    """
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def may_deliver_to(address: Address, networks: Iterable[Network]) -> bool:
    """Return whether an endpoint may have this address: a public one, or one in these networks.

    An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4) counts as that address.
    """
    inner = _inner(address)
    if any(inner in network or address in network for network in networks):
        return True
    is_public = inner.is_global and not inner.is_multicast and not any(inner in network for network in _NOT_PUBLIC)
    return is_public and (isinstance(inner, IPv4Address) or inner in _GLOBAL_UNICAST)


def _inner(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped or address.sixtofour:
            return address.ipv4_mapped or address.sixtofour or address
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
