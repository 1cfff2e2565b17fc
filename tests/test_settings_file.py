"""Settings in a file: `NAME=value`, a line each; the environment takes precedence."""

from pathlib import Path

import pytest

from gql_secrets.domain.errors import SetupError
from gql_secrets.domain.limits import Rate
from gql_secrets.settings import Settings
from gql_secrets.settings.reloading import Reload


def read(path: Path, **variables: str) -> Settings:
    given = {f"GQL_SECRETS_{name}": value for name, value in variables.items()}
    return Settings.from_environment({"GQL_SECRETS_SETTINGS_FILE": str(path)} | given)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings"


def test_settings_are_lines_with_blanks_and_comments_between_them(path: Path) -> None:
    path.write_text("# Ours\r\n\r\n  GQL_SECRETS_PORT = 81 \nGQL_SECRETS_PUBLIC_URL=https://a.example\n # end")
    settings = read(path)
    assert (settings.port, settings.public_url) == (81, "https://a.example")
    assert settings.settings_file == str(path)


def test_a_value_may_hold_any_character_but_the_end_of_a_line(path: Path) -> None:
    path.write_text('GQL_SECRETS_DATABASE_URL=postgres://a:b=c#d"@host/name\n')
    assert read(path).database_url == 'postgres://a:b=c#d"@host/name'


def test_the_environment_and_then_the_command_line_take_precedence(path: Path) -> None:
    path.write_text("GQL_SECRETS_PORT=81\nGQL_SECRETS_METRICS_PORT=82\n")
    settings = read(path, PORT="91")
    assert (settings.port, settings.metrics_port) == (91, 82)
    environment = {"GQL_SECRETS_SETTINGS_FILE": str(path), "GQL_SECRETS_PORT": "91"}
    assert Settings.from_environment(environment, port=92).port == 92


def test_the_variable_of_a_kubernetes_service_takes_no_precedence(path: Path) -> None:
    """A Service named gql-secrets makes one with the name of a setting."""
    path.write_text("GQL_SECRETS_PORT=81\n")
    settings = read(path, PORT="tcp://10.96.4.7:8080")
    assert (settings.port, settings.ignored_variables) == (81, ("GQL_SECRETS_PORT",))


def test_a_variable_takes_precedence_over_the_other_form_of_it_in_the_file(path: Path, tmp_path: Path) -> None:
    """Without this, the file's line would be refused as given twice."""
    (tmp_path / "url").write_text("sqlite:///b\n")
    path.write_text("GQL_SECRETS_DATABASE_URL_FILE=/nowhere\n")
    assert read(path, DATABASE_URL="sqlite:///a").database_url == "sqlite:///a"
    path.write_text("GQL_SECRETS_DATABASE_URL=sqlite:///a\n")
    assert read(path, DATABASE_URL_FILE=str(tmp_path / "url")).database_url == "sqlite:///b"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("GQL_SECRETS_PORT", "line 1: write a setting as GQL_SECRETS_NAME=value"),
        ("\nPORT=80", "line 2: write a setting as GQL_SECRETS_NAME=value"),
        ("export GQL_SECRETS_PORT=80", "line 1: write a setting as GQL_SECRETS_NAME=value"),
        ("GQL_SECRETS_PORT=80\nGQL_SECRETS_PORT=80", "line 2: GQL_SECRETS_PORT is set twice"),
        ("GQL_SECRETS_SETTINGS_FILE=other", "line 1: a settings file cannot name another one"),
        ("GQL_SECRETS_PORTT=80", "GQL_SECRETS_PORTT is not a setting"),
        ("GQL_SECRETS_PORT=eighty", "GQL_SECRETS_PORT must be a whole number"),
        ("GQL_SECRETS_PORT=\udcff", "it is not UTF-8 text"),
        ('GQL_SECRETS_LOG_LEVEL="INFO"', "line 1: write the value of GQL_SECRETS_LOG_LEVEL without quotes"),
        ("GQL_SECRETS_LOG_LEVEL='INFO'", "line 1: write the value of GQL_SECRETS_LOG_LEVEL without quotes"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(path: Path, text: str, reason: str) -> None:
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SetupError, match=reason):
        read(path)


def test_a_file_that_is_missing_or_writable_by_others_is_refused(path: Path) -> None:
    with pytest.raises(SetupError, match="No such file"):
        read(path)
    path.touch()
    path.chmod(0o666)
    with pytest.raises(SetupError, match="chmod go-w"):
        read(path)
    with pytest.raises(SetupError, match="is set and empty"):
        Settings.from_environment({"GQL_SECRETS_SETTINGS_FILE": " "})


def test_what_takes_effect_is_told_apart_from_what_needs_a_restart() -> None:
    running = Settings(port=1)
    limit = Rate.parse("5/1m")
    reload = Reload.between(running, Settings(port=2, log_level="DEBUG", limit_resets_per_client=limit, insecure=True))
    assert reload.changed == ("GQL_SECRETS_LOG_LEVEL", "GQL_SECRETS_LIMIT_RESETS_PER_CLIENT")
    assert reload.kept == ("GQL_SECRETS_PORT",)
    assert reload.settings == Settings(port=1, log_level="DEBUG", limit_resets_per_client=limit)
