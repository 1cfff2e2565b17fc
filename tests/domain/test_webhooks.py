"""Webhooks: URLs and addresses that are refused, signatures, and when a delivery is repeated."""

from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from standardwebhooks import Webhook
from support.clocks import DAYS, HOUR, MICROSECOND, NOW, SECOND

from gql_secrets.domain.webhooks import (
    InvalidWebhook,
    WebhookEventType,
    derive_signing_key,
    may_deliver_to,
    next_attempt_at,
    parse_event_types,
    parse_webhook_networks,
    parse_webhook_url,
    sign,
    written_signing_secret,
)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "http://example.com/",
        "https://",
        "https:///x",
        "https://user:pw@example.com/",
        "https://user@example.com/",
        "https://:@example.com/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exämple.com/",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://[::1/",
        "https://@example.com/",
        "https://2130706433/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://0x7f.1/",
        "https://example.com/" + "x" * 2000,
    ],
)
def test_a_url_that_is_not_plain_https_is_refused(url: str) -> None:
    # Blanks around a URL are ignored, a line break inside it is not.
    with pytest.raises(InvalidWebhook):
        parse_webhook_url(url.replace("/\n", "/\nx"), allows_http=False)


def test_http_is_possible_only_where_own_networks_are_allowed() -> None:
    assert parse_webhook_url(" https://example.com:8443/x?token=1 ", allows_http=False)
    assert parse_webhook_url("http://10.0.0.1/x", allows_http=True) == "http://10.0.0.1/x"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "0.0.0.0",  # noqa: S104  an address to refuse
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "::7f00:1",
        "::ffff:0:127.0.0.1",
        "fec0::1",
        "5f00::1",
        "3fff::1",
        "192.88.99.1",
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not may_deliver_to(ip_address(address), ())


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert may_deliver_to(ip_address(address), ())


def test_own_networks_are_allowed_and_nothing_around_them() -> None:
    networks = parse_webhook_networks("10.1.0.0/16, fd00:1::/64,")
    assert may_deliver_to(ip_address("10.1.2.3"), networks)
    assert may_deliver_to(ip_address("::ffff:10.1.2.3"), networks)
    assert may_deliver_to(ip_address("fd00:1::5"), networks)
    assert not may_deliver_to(ip_address("10.2.0.1"), networks)
    with pytest.raises(ValueError, match="host bits"):
        parse_webhook_networks("10.1.2.3/8")


def test_the_specifications_own_library_accepts_each_signature() -> None:
    keys = [derive_signing_key(b"k" * 32, 7, b"n" * 32, version) for version in (2, 1)]
    body = '{"type":"secret.reset","data":{"clientId":"é"}}'
    timestamp = int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(keys, "evt_1", timestamp, body.encode()),
    }
    assert keys[0] != keys[1]
    for key in keys:
        assert Webhook(written_signing_secret(key)).verify(body, headers)
    other = derive_signing_key(b"k" * 32, 8, b"n" * 32, 2)
    with pytest.raises(Exception, match="signature"):
        Webhook(written_signing_secret(other)).verify(body, headers)


def test_a_delivery_is_repeated_ever_more_slowly_for_three_days() -> None:
    now, attempts, waits = NOW, 0, []
    while True:
        attempts += 1
        again = next_attempt_at(attempts, created_at=NOW, now=now)
        if again is None:
            break
        waits.append(again - now)
        now = again
    assert waits[0] == 5 * SECOND
    assert waits == sorted(waits)
    assert 9 <= len(waits) <= 12
    assert 3 * DAYS <= now - NOW <= 4 * DAYS
    assert next_attempt_at(1, created_at=NOW, now=NOW + 3 * DAYS - MICROSECOND) is not None
    assert next_attempt_at(10**6, created_at=NOW, now=NOW + HOUR) is not None


def test_at_least_one_type_of_event_is_chosen() -> None:
    reset, created = WebhookEventType.SECRET_RESET, WebhookEventType.CLIENT_CREATED
    assert parse_event_types([reset, created, reset]) == (created, reset)
    with pytest.raises(InvalidWebhook):
        parse_event_types([])
