"""The variables that Kubernetes adds to every container for the Services of its namespace ("service links").

For a Service named `gql-secrets`, or `gql-secrets-db`, their names begin like those of our settings.
"""

import re
from typing import Final

# The Service's name, in capitals and with underscores.
_SERVICE: Final = r"GQL_SECRETS(?:_[A-Z0-9_]+)?"
_LINK: Final = re.compile(
    rf"{_SERVICE}_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
# `GQL_SECRETS_PORT` is also a setting: only the URL that Kubernetes writes tells the two apart.
_PORT: Final = re.compile(rf"{_SERVICE}_PORT")
_PORT_VALUE: Final = re.compile(r"(?:tcp|udp|sctp)://\S+:[0-9]+")


def is_service_link(variable: str, value: str) -> bool:
    """Return whether Kubernetes made this variable for a Service."""
    if _LINK.fullmatch(variable):
        return True
    return bool(_PORT.fullmatch(variable) and _PORT_VALUE.fullmatch(value))
