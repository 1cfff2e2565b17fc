"""The names of fields outside Python: the audit log and the command line use those of GraphQL."""


def camel_case(name: str) -> str:
    """Return the GraphQL name of an attribute, such as `expiresAt` for `expires_at`."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
