"""A whitelist of /clients means the same when it is read and when it is written."""

import pytest

from gql_secrets.api.clients_api.whitelist import format_whitelist
from gql_secrets.domain.networks import EVERYWHERE, AllowList, parse_whitelist


@pytest.mark.parametrize(
    ("whitelist", "texts"),
    [
        (["0.0.0.0/0"], EVERYWHERE.texts),
        (["0.0.0.0/0", "0.0.0.0/0"], EVERYWHERE.texts),
        (["0.0.0.0/0", "::/0"], EVERYWHERE.texts),
        (["::/0"], ("::/0",)),
        (["192.0.2.0/24", "10.1.2.3"], ("192.0.2.0/24", "10.1.2.3/32")),
        (["0.0.0.0/1", "128.0.0.0/1"], ("0.0.0.0/1", "128.0.0.0/1")),
    ],
)
def test_a_whitelist_is_read_as_its_dialect_means_it(whitelist: list[str], texts: tuple[str, ...]) -> None:
    assert parse_whitelist(whitelist).texts == texts


@pytest.mark.parametrize(
    ("texts", "whitelist"),
    [
        (EVERYWHERE.texts, ["0.0.0.0/0"]),
        (("::/0", "0.0.0.0/0"), ["0.0.0.0/0"]),
        (("0.0.0.0/0",), ["0.0.0.0/1", "128.0.0.0/1"]),
        (("::/0",), ["::/0"]),
        (("192.0.2.0/24", "10.1.2.3"), ["192.0.2.0/24", "10.1.2.3/32"]),
    ],
)
def test_a_script_that_writes_back_the_whitelist_it_read_changes_nobodys_access(
    texts: tuple[str, ...], whitelist: list[str]
) -> None:
    allow_list = AllowList.parse(texts)

    assert format_whitelist(allow_list) == whitelist
    again = parse_whitelist(whitelist)
    for address in ("0.0.0.0", "255.255.255.255", "192.0.2.9", "10.1.2.3", "::", "2001:db8::1"):  # noqa: S104
        assert again.allows(address) is allow_list.allows(address)
