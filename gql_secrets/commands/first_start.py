"""What the first start prints once: the owner's credentials, and a first rollover to paste into a terminal."""

import shlex
from pathlib import Path
from typing import Final

from gql_secrets.service.new_clients import Registration

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
    """Return the text. It holds the owner's plaintext secret.

    Args:
        owner: the client that the first start created.
        url: the address of the server.
        data_dir: the directory of the database and the pepper, or None if the database is elsewhere.
    """
    client_id, secret = owner.client.client_id, owner.secret.reveal()
    where = f" in {data_dir}" if data_dir else ""
    return f"""\
gql-secrets is set up{where}. It has one client, the owner. Its credentials are shown only once:

  client id  {client_id}
  secret     {secret}

Try a rollover. Paste this into another terminal:

OWNER={shlex.quote(f"{client_id}:{secret}")}
API={shlex.quote(url)}

1. Register a client:

{_curl(_CREATE)}

   Fill in the clientId and the secret from the answer, and verify them as a gateway does:

CLIENT_ID=...
OLD_SECRET=...
curl -si -u "$CLIENT_ID:$OLD_SECRET" "$API/verify"

2. Reset its secret and keep the old one for 24 hours. Both are valid now:

{_curl(_RESET)}

NEW_SECRET=...
curl -si -u "$CLIENT_ID:$NEW_SECRET" "$API/verify"

3. Revoke the old one early. Now /verify answers 401 for it, and 200 for the new one:

{_curl(_REVOKE)}

"""


def _curl(document: str) -> str:
    # One line, however long, so that it can be pasted.
    head = """curl -sw '\\n' -u "$OWNER" "$API/graphql" -H 'Content-Type: application/json'"""
    return f"""{head} -d '{{"query": "{document}"}}'"""
