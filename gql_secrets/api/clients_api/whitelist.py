"""A client's allow list as `/clients` writes it: the `whitelist`."""

from gql_secrets.domain.networks import WHOLE_IPV4, AllowList


def format_whitelist(allow_list: AllowList) -> list[str]:
    """Return the whitelist that `parse_whitelist` reads as this allow list.

    There, `["0.0.0.0/0"]` means every address. "Every IPv4 address, but no IPv6 address" is therefore written as two
    halves: a script that reads a whitelist and writes it back must not widen it.
    """
    if allow_list.is_everywhere:
        return [WHOLE_IPV4]
    if allow_list.texts == (WHOLE_IPV4,):
        return ["0.0.0.0/1", "128.0.0.0/1"]
    return list(allow_list.texts)
