"""Settings are read once, and refuse with a sentence that says what to write instead."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import SetupError
from gql_secrets.settings import DATABASE_FILE, PEPPER_FILE, Settings
from gql_secrets.storage.address import DatabaseAddress

PEPPER = Pepper.mint().written()


def read(**variables: str) -> Settings:
    return Settings.from_environment({f"GQL_SECRETS_{name}": value for name, value in variables.items()})


def test_without_any_setting_it_listens_on_loopback_and_keeps_its_data_beside_it() -> None:
    settings = read()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8080, Path(".gql-secrets"))
    assert settings.address_url == "http://127.0.0.1:8080"
    assert settings.resolved_database_url == f"sqlite:///{Path('.gql-secrets').absolute() / DATABASE_FILE}"
    assert settings.log_level == "INFO"


def test_other_programs_variables_do_not_matter() -> None:
    assert Settings.from_environment({"HOME": "/root", "GQL_OTHER": "1"}) == Settings()


def test_the_command_line_goes_before_the_environment() -> None:
    assert Settings.from_environment({"GQL_SECRETS_PORT": "1"}, port=2, host=None).port == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTT", "80"),
        ("INSECURE", "1"),  # for one start, by the command line alone
        ("PORT", "http"),
        ("PORT", ""),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "99999999999999999999"),
        ("PORT", "٣"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_POOL_SIZE", "many"),
        ("STATEMENT_CACHE_SIZE", "-1"),
        ("RATE_LIMITS", "no"),
        ("INTROSPECTION", "all"),
        ("LIMIT_RESETS_PER_CLIENT", "60"),
        ("PUBLIC_URL", "secrets.example.com"),
        ("PUBLIC_URL", "ftp://secrets.example.com"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://example.com/path"),
        ("PUBLIC_URL", "https://example.com?x=1"),
        ("PUBLIC_URL", "https://user@example.com"),
        ("PUBLIC_URL", "https://[::1"),
        ("PUBLIC_URL", "https://example.com:http"),
        ("PUBLIC_URL", "https://example.com:99999"),
        ("HOST", "0.0.0.0"),  # noqa: S104
        ("HOST", "::"),
        ("HOST", "192.0.2.1"),
        ("HOST", "example.com"),
        ("PEPPER", ""),
        ("DATA_DIR", ""),
    ],
)
def test_an_unknown_or_wrong_one_stops_the_start_with_a_sentence(name: str, value: str) -> None:
    with pytest.raises(SetupError) as refused:
        read(**{name: value})
    assert f"GQL_SECRETS_{name}" in str(refused.value) or name == "HOST"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_certificate(host: str) -> None:
    assert read(HOST=host).host == host


def test_beyond_loopback_it_needs_a_public_https_url_or_a_plain_word() -> None:
    assert read(HOST="192.0.2.1", PUBLIC_URL="https://secrets.example.com").address_url == "https://secrets.example.com"
    with pytest.raises(SetupError, match="--insecure"):
        read(HOST="192.0.2.1", PUBLIC_URL="http://secrets.example.com")
    assert Settings.from_environment({}, host="192.0.2.1", insecure=True).host == "192.0.2.1"


def test_the_public_url_is_what_people_type_without_a_slash_at_its_end() -> None:
    assert read(PUBLIC_URL="https://secrets.example.com/").address_url == "https://secrets.example.com"
    assert read(HOST="::1").address_url == "http://[::1]:8080"


def test_settings_show_neither_pepper_nor_password() -> None:
    settings = read(PEPPER=PEPPER, DATABASE_URL="postgres://user:hunter2-secret@db/name")
    assert PEPPER.partition(":")[2] not in repr(settings)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(DatabaseAddress.parse(settings.database_url))


def test_every_setting_has_a_variable() -> None:
    given = {field.name.upper(): field for field in fields(Settings) if field.name != "insecure"}
    with pytest.raises(SetupError) as refused:
        read(NOTHING="x")
    for name in given:
        assert f"GQL_SECRETS_{name}" in str(refused.value)


# The database's URL


@pytest.mark.parametrize(
    "url",
    [
        "mysql://localhost/x",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "postgres://localhost",
        "postgres://localhost/",
        "postgres://user:hunter2-secret@localhost:http/name",
        "postgres://user:hunter2-secret@localhost/name?timeout=3",
        "postgres://user:hunter2-secret@[::1/name",
        "name",
    ],
)
def test_a_database_url_that_cannot_be_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SetupError) as refused:
        DatabaseAddress.parse(url)
    assert "hunter2" not in str(refused.value)


def test_a_database_url_is_read_as_people_write_it() -> None:
    assert DatabaseAddress.parse("sqlite:////var/lib/a%20b.db").path == Path("/var/lib/a b.db")
    assert DatabaseAddress.parse("sqlite:///a.db").path == Path("a.db")
    address = DatabaseAddress.parse("postgresql://us%40er:p%3Aw@db.example:6432/name?sslmode=require")
    assert address == DatabaseAddress("postgres", None, "db.example", 6432, "us@er", "p:w", "name", ssl_mode="require")
    assert "p:w" not in repr(address)
    assert DatabaseAddress.parse("postgres:///name?host=/run/postgresql").host == "/run/postgresql"


# The pepper's file


def test_the_data_directory_and_the_pepper_are_their_owners_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new" / "data")
    settings.make_data_dir()
    assert settings.load_pepper() is None
    made = settings.write_new_pepper()
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((settings.data_dir / PEPPER_FILE).stat().st_mode) == 0o600
    assert settings.load_pepper() == made
    assert [path.name for path in settings.data_dir.iterdir()] == [PEPPER_FILE]


def test_of_many_first_starts_one_makes_the_pepper_and_all_have_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with ThreadPoolExecutor(16) as threads:
        made = list(threads.map(lambda _: settings.write_new_pepper().written(), range(64)))
    assert set(made) == {(tmp_path / PEPPER_FILE).read_text().strip()}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_pepper_that_others_can_read_stops_the_start(tmp_path: Path, mode: int) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.write_new_pepper()
    (tmp_path / PEPPER_FILE).chmod(mode)
    with pytest.raises(SetupError, match="chmod 600"):
        settings.load_pepper()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"k1:short\n"])
def test_a_broken_pepper_file_stops_the_start_and_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / PEPPER_FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SetupError):
        Settings(data_dir=tmp_path).load_pepper()
    assert path.read_bytes() == content


def test_a_data_directory_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot be made"):
        Settings(data_dir=tmp_path / "file" / "data").make_data_dir()
    with pytest.raises(SetupError, match="cannot be"):
        Settings(data_dir=tmp_path / "file").make_data_dir()


def test_the_pepper_of_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, pepper=PEPPER)
    settings.write_new_pepper()
    loaded = settings.load_pepper()
    assert loaded is not None
    assert loaded.written() == PEPPER
