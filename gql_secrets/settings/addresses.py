"""Addresses in settings."""

import ipaddress
from urllib.parse import urlsplit


def is_origin(text: str) -> bool:
    """Return whether this is only a scheme and a host, with or without a port."""
    try:
        url = urlsplit(text)
        port_is_one = url.port is None or url.port > 0
    except ValueError:
        return False
    is_bare = not (url.path.strip("/") or url.query or url.fragment or url.username)
    return url.scheme in ("http", "https") and bool(url.hostname) and port_is_one and is_bare


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
