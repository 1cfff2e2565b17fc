"""The search that other tests rely on works: a secret is found in every form."""

import pytest
from support.leaks import Issued, forms_of

from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.sessions import mint_token

SECRET = PlaintextSecret.mint().reveal()
TOKEN = mint_token().reveal()


@pytest.mark.parametrize("secret", [SECRET, TOKEN], ids=["secret", "token"])
@pytest.mark.parametrize("form", forms_of(SECRET))
def test_a_secret_is_found_in_every_form(form: str, secret: str) -> None:
    others = [PlaintextSecret.mint().reveal() for _ in range(100)]
    text = b'{"told": "' + forms_of(secret)[form] + b'", "at": 1}\n'
    assert Issued([secret, *others]).found_in(text) == {secret}


def test_no_secret_is_found_where_none_is() -> None:
    others = [PlaintextSecret.mint().reveal() for _ in range(100)]
    text = b"\n".join(form for secret in others for form in forms_of(secret).values())
    assert Issued([SECRET]).found_in(text + SECRET[:40].encode()) == set()
