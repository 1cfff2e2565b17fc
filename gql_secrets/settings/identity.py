"""The `GQL_SECRETS_OIDC_…` settings: the identity providers whose access tokens sign people in."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from gql_secrets.domain.access import LINK_PERSON
from gql_secrets.domain.errors import SetupError
from gql_secrets.domain.identity import MAX_ISSUER, Issuer
from gql_secrets.settings.addresses import is_loopback

_PREFIX: Final = "GQL_SECRETS_OIDC_"


def parse_issuers(
    issuer: str,
    audience: str,
    *,
    roles_claim: str,
    name_claim: str,
    admin_roles: str,
    operator_roles: str,
    viewer_roles: str,
    client_id: str,
    client_secret: str,
    scopes: str,
    insecure: bool,
) -> tuple[Issuer, ...]:
    """Return the issuers in their order.

    With several, the audiences and role names are lists in the same order, with `;` between issuers: an issuer gives
    roles only by its own entry, so a missing one gives none. One entry of claims is that of every issuer.

    Args:
        issuer: the issuers, separated by commas.
        audience: for each issuer, the audiences, separated by commas.
        roles_claim: the claims that hold role names.
        name_claim: the claims that may hold a display name.
        admin_roles: the role names that give ADMIN.
        operator_roles: the role names that give OPERATOR.
        viewer_roles: the role names that give VIEWER.
        client_id: the console's client id at each issuer; empty where people do not sign in to the console.
        client_secret: that client's secret at each issuer; empty for a public client.
        scopes: what the console's sign-in asks for.
        insecure: whether an issuer may be asked over http at an address other than loopback.

    Raises:
        SetupError: a setting is invalid.
    """
    urls = _items(issuer)
    if not urls:
        if audience or operator_roles or viewer_roles or client_id or client_secret:
            raise SetupError(
                f"{_PREFIX}AUDIENCE, {_PREFIX}CLIENT_ID and the role settings need {_PREFIX}ISSUER, the issuer of the "
                "tokens."
            )
        return ()
    _check_issuers(urls, insecure=insecure)
    count = len(urls)
    audiences = _audiences(audience, count)
    admins = _entries("ADMIN_ROLES", admin_roles, count)
    operators = _entries("OPERATOR_ROLES", operator_roles, count)
    viewers = _entries("VIEWER_ROLES", viewer_roles, count)
    clients = _clients(client_id, client_secret, count)
    all_scopes = _scopes(scopes, count)
    roles_claims = _claims("ROLES_CLAIM", roles_claim, count)
    name_claims = _claims("NAME_CLAIM", name_claim, count)
    return tuple(
        Issuer(
            url,
            audiences=frozenset(audiences[place]),
            roles_claims=roles_claims[place],
            name_claims=name_claims[place],
            admin_roles=frozenset(admins[place]),
            operator_roles=frozenset(operators[place]),
            viewer_roles=frozenset(viewers[place]),
            client_id=clients[place][0],
            client_secret=clients[place][1],
            scopes=all_scopes[place],
        )
        for place, url in enumerate(urls)
    )


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _entries(name: str, text: str, count: int) -> list[tuple[str, ...]]:
    entries = [_items(entry) for entry in text.split(";")]
    if len(entries) > count:
        raise SetupError(
            f"{_PREFIX}{name} has {len(entries)} entries, separated by `;`, but {_PREFIX}ISSUER has {count}."
        )
    return entries + [()] * (count - len(entries))


def _texts(name: str, text: str, count: int) -> list[str]:
    """Return one text for each issuer; none may hold a control character. That of a single one may hold a `;`."""
    entries = [entry.strip() for entry in text.split(";")] if count > 1 else [text.strip()]
    if len(entries) > count or not all(entry.isprintable() for entry in entries):
        raise SetupError(
            f"{_PREFIX}{name} must have one entry for each issuer, separated by `;`, without control characters."
        )
    return entries + [""] * (count - len(entries))


def _claims(name: str, text: str, count: int) -> list[tuple[str, ...]]:
    entries = _entries(name, text, count)
    shared = ";" not in text
    entries = [entries[0]] * count if shared else entries
    if not all(entries):
        raise SetupError(f"{_PREFIX}{name} must name a claim, such as roles or realm_access.roles.")
    return entries


def _audiences(text: str, count: int) -> list[tuple[str, ...]]:
    audiences = _entries("AUDIENCE", text, count)
    if not all(audiences):
        raise SetupError(
            f"{_PREFIX}AUDIENCE is required with {_PREFIX}ISSUER: the name of this API at the identity provider, as in "
            "the `aud` of its access tokens; for several issuers, one entry each, separated by `;`."
        )
    return audiences


def _clients(client_id: str, client_secret: str, count: int) -> list[tuple[str, str]]:
    """Return the id and the secret of the console's client at each issuer."""
    clients = list(
        zip(_texts("CLIENT_ID", client_id, count), _texts("CLIENT_SECRET", client_secret, count), strict=True)
    )
    if any(secret and not client for client, secret in clients):
        raise SetupError(f"{_PREFIX}CLIENT_SECRET needs {_PREFIX}CLIENT_ID, the id of that client.")
    return clients


def _scopes(text: str, count: int) -> list[str]:
    scopes = _texts("SCOPES", text, count) if ";" in text else [text] * count
    if not all("openid" in each.split() for each in scopes):
        raise SetupError(f"{_PREFIX}SCOPES must have openid among the scopes, which are separated by spaces.")
    return scopes


def _check_issuers(urls: Sequence[str], *, insecure: bool) -> None:
    for url in urls:
        _check_issuer(url, insecure=insecure)
    names = [url.partition("://")[2].rstrip("/") for url in urls]
    if len(set(names)) != len(names):
        raise SetupError(f"{_PREFIX}ISSUER names an issuer twice.")


def _check_issuer(url: str, *, insecure: bool) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    is_url = host and port != 0 and not (parts.query or parts.fragment or parts.username or "\\" in url)
    if not is_url or not url.isascii() or not url.isprintable() or " " in url or parts.scheme not in ("http", "https"):
        raise SetupError(
            f"{_PREFIX}ISSUER must be a comma-separated list of URLs, each exactly as the identity provider writes it "
            "in `iss`, such as https://login.example.com/realms/staff"
        )
    if len(url) > MAX_ISSUER:
        raise SetupError(f"{_PREFIX}ISSUER: an issuer must have at most {MAX_ISSUER} characters.")
    if host == LINK_PERSON:
        raise SetupError(
            f"{_PREFIX}ISSUER: the people of an issuer with the host name {LINK_PERSON} would look like people who "
            "signed in with a link. Use its full host name."
        )
    if parts.scheme == "http" and not insecure and not is_loopback(host):
        raise SetupError(
            f"{_PREFIX}ISSUER: the keys of an issuer must come over https, or from this machine. Use an https issuer, "
            "or pass --insecure."
        )
