"""Which settings take effect in a running server when they are read again, and which need a restart."""

from dataclasses import dataclass, fields, replace
from typing import Final, Self

from gql_secrets.settings import PREFIX, Settings

_LIMIT: Final = "limit_"
_RELOADED: Final = ("log_level", "trusted_proxies", "trusted_documents", "rate_limits")
# What a settings file cannot change: the command line decides the one, and the other is only reported.
_NOT_READ: Final = ("insecure", "ignored_variables")


@dataclass(frozen=True, slots=True)
class Reload:
    """The difference between the settings of a running server and those that were read again.

    Attributes:
        settings: the settings in effect after the reload.
        changed: the variables that changed and take effect.
        kept: the variables that changed and keep their old value until a restart.
    """

    settings: Settings
    changed: tuple[str, ...]
    kept: tuple[str, ...]

    @classmethod
    def between(cls, running: Settings, read: Settings) -> Self:
        """Compare the settings that are in effect with those that were read again."""
        names = [each.name for each in fields(Settings) if each.name not in _NOT_READ]
        different = [name for name in names if getattr(running, name) != getattr(read, name)]
        changed = [name for name in different if _is_reloaded(name)]
        return cls(
            replace(running, **{name: getattr(read, name) for name in changed}),
            tuple(_variable(name) for name in changed),
            tuple(_variable(name) for name in different if name not in changed),
        )


def _is_reloaded(name: str) -> bool:
    return name in _RELOADED or name.startswith(_LIMIT)


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"
