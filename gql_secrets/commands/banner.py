"""What the first start prints, once: the owner's credentials, and a first rollover to paste."""

import shlex
from pathlib import Path
from typing import Final

from gql_secrets.service.clients import Registration

_CREATE: Final = r"mutation { createClient(name: \"My app\") { client { clientId } secret userErrors { message } } }"
_RESET: Final = (
    r"""mutation { resetSecret(clientId: \"'$CLIENT_ID'\", hoursToLive: 24) """
    "{ newSecret oldSecretExpiresAt userErrors { message } } }"
)
_REVOKE: Final = (
    r"""mutation { revokeOldSecret(clientId: \"'$CLIENT_ID'\") """
    "{ revokedSecret { state endReason } userErrors { message } } }"
)


def first_start_text(owner: Registration, *, url: str, data_dir: Path | None) -> str:
    """Return the text; here the owner's plaintext leaves.

    Args:
        owner: the client that the first start made.
        url: where the server can be asked.
        data_dir: where database and pepper are, or None where they are elsewhere.
    """
    client_id, secret = owner.client.client_id, owner.secret.reveal()
    where = f" in {data_dir}" if data_dir else ""
    return f"""\
gql-secrets is set up{where}. It has one client, the owner. This is shown only now:

  client id  {client_id}
  secret     {secret}

Try a rollover. Paste into another terminal:

OWNER={shlex.quote(f"{client_id}:{secret}")}
API={shlex.quote(url)}

1. Register a client, an application of yours:

{_curl(_CREATE)}

   Put clientId and secret of the answer here; this asks whether they are good, as a gateway does:

CLIENT_ID=...
OLD_SECRET=...
curl -si -u "$CLIENT_ID:$OLD_SECRET" "$API/verify"

2. Reset its secret and keep the old one for 24 hours; now both are good at /verify:

{_curl(_RESET)}

NEW_SECRET=...
curl -si -u "$CLIENT_ID:$NEW_SECRET" "$API/verify"

3. Revoke the old one early; now /verify says 401 to it, and 200 to the new one:

{_curl(_REVOKE)}

"""


def _curl(document: str) -> str:
    # A line of its own, however long: it is pasted as it stands.
    head = """curl -sw '\\n' -u "$OWNER" "$API/graphql" -H 'Content-Type: application/json'"""
    return f"""{head} -d '{{"query": "{document}"}}'"""
