"""The address that a printed sign-in link begins with: the public URL, or where the server last listened."""

import contextlib
from pathlib import Path

from gql_secrets.settings import ADDRESS_FILE, Settings
from gql_secrets.settings.private_files import open_unlinked


def remember_address(settings: Settings) -> None:
    """Write the server's address into the data directory, so that `sign-in-link` knows the port."""
    path = _address_file(settings)
    # Path.open takes no opener.
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii", opener=open_unlinked) as file:
        file.write(f"{settings.address_url}\n")


def address_of(settings: Settings) -> str:
    """Return the public URL, or else the address on which the server last listened."""
    if not settings.public_url:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            # A server on a full disk left an empty file.
            return _address_file(settings).read_text("ascii").strip() or settings.address_url
    return settings.address_url


def _address_file(settings: Settings) -> Path:
    return settings.data_dir / ADDRESS_FILE
