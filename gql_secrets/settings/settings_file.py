"""The settings file (`GQL_SECRETS_SETTINGS_FILE`): lines `NAME=value`, read at the start and again at each SIGHUP.

A variable of the environment takes precedence over the same setting in the file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from gql_secrets.domain.errors import SetupError
from gql_secrets.settings.private_files import read_file_of

SETTINGS_FILE: Final = "GQL_SECRETS_SETTINGS_FILE"
_PREFIX: Final = "GQL_SECRETS_"
_FILE: Final = "_FILE"


def with_settings_file(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment with the settings of its settings file, if it names one.

    Raises:
        SetupError: the file cannot be read, other users can change it, or a line is not `NAME=value`.
    """
    named = environment.get(SETTINGS_FILE)
    if named is None:
        return environment
    path = Path(named.strip())
    if not named.strip():
        raise SetupError(f"{SETTINGS_FILE} is set and empty. Give it a value, or unset it.")
    values: dict[str, str] = {}
    for number, name, value in _lines_of(path, read_file_of(SETTINGS_FILE, path)):
        if name in values:
            raise SetupError(f"{path}, line {number}: {name} is set twice.")
        values[name] = value
    return {name: value for name, value in values.items() if _other_form_of(name) not in environment} | dict(
        environment
    )


def _lines_of(path: Path, text: str) -> Iterator[tuple[int, str, str]]:
    """Yield each setting with the number of its line. A value may be a secret: no message repeats a line."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name = name.strip()
        if not equals or not name.startswith(_PREFIX):
            raise SetupError(f"{path}, line {number}: write a setting as {_PREFIX}NAME=value, or a comment as # text.")
        if name == SETTINGS_FILE:
            raise SetupError(f"{path}, line {number}: a settings file cannot name another one.")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            raise SetupError(f"{path}, line {number}: write the value of {name} without quotes.")
        yield number, name, value


def _other_form_of(name: str) -> str:
    """Return the variable that sets the same: `GQL_SECRETS_PEPPER` for `GQL_SECRETS_PEPPER_FILE`, or the reverse."""
    return name.removesuffix(_FILE) if name.endswith(_FILE) else f"{name}{_FILE}"
