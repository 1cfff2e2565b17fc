"""Settings are read once, and an invalid one is refused with a sentence that says what to write instead."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest

from gql_secrets.commands.sign_in_address import remember_address
from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import SetupError
from gql_secrets.domain.identity import Issuer
from gql_secrets.settings import DATABASE_FILE, PEPPER_FILE, Settings
from gql_secrets.storage.address import DatabaseAddress

PEPPER = Pepper.mint().written()


def read(**variables: str) -> Settings:
    return Settings.from_environment({f"GQL_SECRETS_{name}": value for name, value in variables.items()})


def test_without_settings_it_listens_on_loopback_and_keeps_its_data_in_the_working_directory() -> None:
    settings = read()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8080, Path(".gql-secrets"))
    assert settings.address_url == "http://127.0.0.1:8080"
    assert settings.resolved_database_url == f"sqlite:///{Path('.gql-secrets').absolute() / DATABASE_FILE}"
    assert settings.log_level == "INFO"


def test_variables_of_other_programs_are_ignored() -> None:
    assert Settings.from_environment({"HOME": "/root", "GQL_OTHER": "1"}) == Settings()


def test_the_command_line_takes_precedence() -> None:
    assert Settings.from_environment({"GQL_SECRETS_PORT": "1"}, port=2, host=None).port == 2


@pytest.mark.parametrize(
    ("quota", "workers"),
    [("max 100000", 3), ("200000 100000", 2), ("50000 100000", 1), ("900000 100000", 3), (None, 3), ("", 3)],
)
def test_there_is_one_worker_for_each_processor_that_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str | None, workers: int
) -> None:
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr("gql_secrets.settings.cores._QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5})
    assert read(WORKERS="auto").workers == workers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTT", "80"),
        ("INSECURE", "1"),  # only on the command line, for one start
        ("IGNORED_VARIABLES", "x"),
        ("PORT", "http"),
        ("PORT", ""),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "99999999999999999999"),
        ("PORT", "٣"),
        ("LOG_LEVEL", "loud"),
        ("WORKERS", "0"),
        ("WORKERS", "65"),
        ("WORKERS", "all"),
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
        ("SOURCE_RETENTION", "191h"),
        ("SOURCE_RETENTION", "3651d"),
        ("SOURCE_RETENTION", "9999999d"),
        ("AUDIT_RETENTION", "719h"),
        ("AUDIT_RETENTION", "3651d"),
        ("AUDIT_ARCHIVE", ""),
        ("PEPPER", ""),
        ("DATA_DIR", ""),
    ],
)
def test_an_unknown_or_invalid_setting_is_refused_with_a_sentence(name: str, value: str) -> None:
    with pytest.raises(SetupError) as refused:
        read(**{name: value})
    assert f"GQL_SECRETS_{name}" in str(refused.value) or name == "HOST"


@pytest.mark.parametrize(
    ("name", "hint"), [("PROT", "Did you mean GQL_SECRETS_PORT?"), ("PASWORD", "The settings are: GQL_SECRETS_")]
)
def test_the_name_of_an_unknown_setting_is_compared_with_the_others(name: str, hint: str) -> None:
    with pytest.raises(SetupError) as refused:
        read(**{name: "1"})
    assert str(refused.value).startswith(f"GQL_SECRETS_{name} is not a setting. {hint}")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_certificate(host: str) -> None:
    assert read(HOST=host).host == host


def test_another_address_needs_a_public_https_url_or_insecure() -> None:
    assert read(HOST="192.0.2.1", PUBLIC_URL="https://secrets.example.com").address_url == "https://secrets.example.com"
    with pytest.raises(SetupError, match="--insecure"):
        read(HOST="192.0.2.1", PUBLIC_URL="http://secrets.example.com")
    assert Settings.from_environment({}, host="192.0.2.1", insecure=True).host == "192.0.2.1"


def test_the_public_url_has_no_trailing_slash() -> None:
    assert read(PUBLIC_URL="https://secrets.example.com/").address_url == "https://secrets.example.com"
    assert read(HOST="::1").address_url == "http://[::1]:8080"


def test_settings_show_neither_pepper_nor_password() -> None:
    settings = read(PEPPER=PEPPER, DATABASE_URL="postgres://user:hunter2-secret@db/name")
    assert PEPPER.partition(":")[2] not in repr(settings)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(DatabaseAddress.parse(settings.database_url))


def test_every_setting_has_a_variable() -> None:
    given = {
        field.name.upper(): field for field in fields(Settings) if field.name not in ("insecure", "ignored_variables")
    }
    with pytest.raises(SetupError) as refused:
        read(NOTHING="x")
    for name in given:
        assert f"GQL_SECRETS_{name}" in str(refused.value)


# What Kubernetes adds for Services named gql-secrets and gql-secrets-db

SERVICE_LINKS = {
    "GQL_SECRETS_SERVICE_HOST": "10.96.4.7",
    "GQL_SECRETS_SERVICE_PORT": "8080",
    "GQL_SECRETS_SERVICE_PORT_HTTP": "8080",
    "GQL_SECRETS_PORT": "tcp://10.96.4.7:8080",
    "GQL_SECRETS_PORT_8080_TCP": "tcp://10.96.4.7:8080",
    "GQL_SECRETS_PORT_8080_TCP_PROTO": "tcp",
    "GQL_SECRETS_PORT_8080_TCP_PORT": "8080",
    "GQL_SECRETS_PORT_8080_TCP_ADDR": "10.96.4.7",
    "GQL_SECRETS_DB_SERVICE_HOST": "fd00::7",
    "GQL_SECRETS_DB_SERVICE_PORT": "5432",
    "GQL_SECRETS_DB_PORT": "tcp://[fd00::7]:5432",
    "GQL_SECRETS_DB_PORT_5432_TCP": "tcp://[fd00::7]:5432",
}


def test_the_variables_that_kubernetes_adds_for_services_are_ignored() -> None:
    settings = Settings.from_environment(SERVICE_LINKS)
    assert settings.port == 8080
    assert settings.ignored_variables == tuple(SERVICE_LINKS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http://10.96.4.7:8080"),
        ("DB_PORT", "5432"),
        ("DB_HOST", "10.96.4.7"),
        ("PORT_8080", "tcp://10.96.4.7:8080"),
        ("SERVICE", "x"),
        ("PORT_8080_HTTP", "8080"),
    ],
)
def test_no_other_variable_is_ignored(name: str, value: str) -> None:
    with pytest.raises(SetupError, match=f"GQL_SECRETS_{name}"):
        read(**{name: value})


def test_values_are_trimmed() -> None:
    """A file of variables that was edited on Windows has a carriage return at the end of each line."""
    settings = read(PORT="8081\r", PUBLIC_URL=" https://secrets.example.com\r\n", RATE_LIMITS="off ", QUIET_TIME=" 2h ")
    assert (settings.port, settings.public_url, settings.rate_limits) == (8081, "https://secrets.example.com", "off")
    assert read(HOST=" 127.0.0.2 ", DATA_DIR=" data ").data_dir == Path("data")
    with pytest.raises(SetupError, match="set and empty"):
        read(PEPPER=" \n")


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATA_DIR", "PEPPER"])
def test_a_variable_that_was_not_filled_leads_to_no_other_installation(name: str) -> None:
    """A server on a new SQLite file would refuse every secret."""
    with pytest.raises(SetupError, match=f"GQL_SECRETS_{name} is set and empty"):
        read(**{name: " "})


# The database's URL


@pytest.mark.parametrize(
    "url",
    [
        "mysql://localhost/x",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://data/gql-secrets.db",
        "postgres://localhost",
        "postgres://localhost/",
        "postgres://user:hunter2-secret@localhost:http/name",
        "postgres://user:hunter2-secret@localhost/name?timeout=3",
        "postgres://user:hunter2-secret@[::1/name",
        "name",
    ],
)
def test_an_invalid_database_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SetupError) as refused:
        DatabaseAddress.parse(url)
    assert "hunter2" not in str(refused.value)


def test_the_parts_of_a_database_url_are_decoded() -> None:
    assert DatabaseAddress.parse("sqlite:////var/lib/a%20b.db").path == Path("/var/lib/a b.db")
    assert DatabaseAddress.parse("sqlite:///a.db").path == Path("a.db")
    address = DatabaseAddress.parse("postgresql://us%40er:p%3Aw@db.example:6432/name?sslmode=require")
    assert address == DatabaseAddress("postgres", None, "db.example", 6432, "us@er", "p:w", "name", ssl_mode="require")
    assert "p:w" not in repr(address)
    assert DatabaseAddress.parse("postgres:///name?host=/run/postgresql").host == "/run/postgresql"


# The data directory


def test_the_data_directory_and_the_pepper_are_private(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new" / "data")
    settings.make_data_dir()
    assert settings.load_pepper() is None
    made = settings.write_new_pepper()
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((settings.data_dir / PEPPER_FILE).stat().st_mode) == 0o600
    assert settings.load_pepper() == made
    assert [path.name for path in settings.data_dir.iterdir()] == [PEPPER_FILE]


def test_of_many_first_starts_one_creates_the_pepper_and_all_use_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with ThreadPoolExecutor(16) as threads:
        made = list(threads.map(lambda _: settings.write_new_pepper().written(), range(64)))
    assert set(made) == {(tmp_path / PEPPER_FILE).read_text().strip()}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
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


def test_a_data_directory_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="Cannot create"):
        Settings(data_dir=tmp_path / "file" / "data").make_data_dir()
    with pytest.raises(SetupError, match="Cannot create"):
        Settings(data_dir=tmp_path / "file").make_data_dir()


def test_the_pepper_of_the_environment_takes_precedence_over_the_file(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, pepper=PEPPER)
    settings.write_new_pepper()
    loaded = settings.load_pepper()
    assert loaded is not None
    assert loaded.written() == PEPPER


def test_settings_are_read_from_files(tmp_path: Path) -> None:
    url, pepper = tmp_path / "url", tmp_path / "pepper"
    url.write_text("postgres://user:hunter2-secret@db/name\n")
    pepper.write_text(f"{PEPPER}\n")
    link = tmp_path / "link"  # as container platforms mount secrets
    link.symlink_to(pepper)
    settings = read(DATABASE_URL_FILE=str(url), PEPPER_FILE=str(link))
    assert settings.database_url == "postgres://user:hunter2-secret@db/name"
    assert settings.load_pepper() == Pepper.parse(PEPPER)
    assert "hunter2" not in repr(settings)

    variables = {"GQL_SECRETS_DATABASE_URL_FILE": str(tmp_path / "nowhere")}
    given = Settings.from_environment(variables, database_url="sqlite:////data/a.db")
    assert given.database_url == "sqlite:////data/a.db"


@pytest.mark.parametrize("name", ["DATABASE_URL", "PEPPER"])
def test_a_file_of_a_setting_that_is_missing_empty_or_writable_by_others_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    with pytest.raises(SetupError, match="No such file"):
        read(**{f"{name}_FILE": str(path)})
    path.write_text(" \n")
    with pytest.raises(SetupError, match="is empty"):
        read(**{f"{name}_FILE": str(path)})
    path.write_text(PEPPER)
    path.chmod(0o666)
    with pytest.raises(SetupError, match="chmod go-w"):
        read(**{f"{name}_FILE": str(path)})
    path.chmod(0o600)
    with pytest.raises(SetupError, match="Unset one of them"):
        read(**{f"{name}_FILE": str(path), name: PEPPER})
    with pytest.raises(SetupError, match="set and empty"):
        read(**{f"{name}_FILE": ""})


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
@pytest.mark.parametrize("name", ["", DATABASE_FILE, PEPPER_FILE])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_data_that_other_users_can_change_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    path = tmp_path / name
    if name:
        path.touch(0o600)
    path.chmod(path.stat().st_mode | mode)
    with pytest.raises(SetupError, match=f"chmod go-w {path}$"):
        Settings(data_dir=tmp_path).make_data_dir()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["", DATABASE_FILE, PEPPER_FILE])
def test_data_of_another_user_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name:
        path.touch(0o600)
    os.chown(path, 12345, 12345)
    with pytest.raises(SetupError, match=f"chown 0 {path}$"):
        Settings(data_dir=tmp_path).make_data_dir()


@pytest.mark.skipif(os.name != "posix", reason="symbolic links need rights on Windows")
@pytest.mark.parametrize("name", [DATABASE_FILE, f"{DATABASE_FILE}-wal", PEPPER_FILE, "server.url"])
def test_symbolic_links_in_the_data_directory_are_refused(tmp_path: Path, name: str) -> None:
    data_dir, target = tmp_path / "data", tmp_path / "target"
    data_dir.mkdir(0o700)
    target.write_text(PEPPER)
    target.chmod(0o600)
    (data_dir / name).symlink_to(target)
    settings = Settings(data_dir=data_dir)
    with pytest.raises(SetupError, match="symbolic link"):
        settings.make_data_dir()
    if name == PEPPER_FILE:
        with pytest.raises(SetupError, match="Cannot read"):
            settings.load_pepper()
    remember_address(settings)
    assert target.read_text() == PEPPER


def test_the_data_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    """A service manager keeps the data of a service with a dynamic user behind a link."""
    (tmp_path / "private").mkdir(0o700)
    (tmp_path / "data").symlink_to(tmp_path / "private")
    Settings(data_dir=tmp_path / "data").make_data_dir()


# Identity providers


def issuers_of(**variables: str) -> tuple[Issuer, ...]:
    return read(**{f"OIDC_{name}": value for name, value in variables.items()}).issuers


def test_one_issuer_needs_an_audience_alone() -> None:
    [issuer] = issuers_of(ISSUER="https://login.example.com/realms/staff", AUDIENCE="gql-secrets")
    assert issuer.url == "https://login.example.com/realms/staff"
    assert issuer.audiences == {"gql-secrets"}
    assert issuer.admin_roles == {"IONAPI-Admin", "IONAPI-Administrator"}
    assert issuer.operator_roles == issuer.viewer_roles == frozenset()
    assert issuer.roles_claims == ("roles", "groups", "realm_access.roles")
    assert issuer.name_claims == ("preferred_username", "email", "sub")


def test_without_an_issuer_there_is_none() -> None:
    assert read().issuers == ()


def test_several_issuers_have_entries_in_their_order() -> None:
    first, second = issuers_of(
        ISSUER="https://a.example.com/, https://b.example.com",
        AUDIENCE="one, other; two",
        ADMIN_ROLES="; boss",
        OPERATOR_ROLES="ops",
        ROLES_CLAIM="https://a.example.com/roles; groups",
        NAME_CLAIM="name",
    )
    assert first.url == "https://a.example.com/"  # as the provider writes it, with its slash
    assert [first.audiences, second.audiences] == [{"one", "other"}, {"two"}]
    assert [first.admin_roles, second.admin_roles] == [set(), {"boss"}]
    assert [first.operator_roles, second.operator_roles] == [{"ops"}, set()]
    assert (first.roles_claims, second.roles_claims) == (("https://a.example.com/roles",), ("groups",))
    assert first.name_claims == second.name_claims == ("name",)


def test_the_default_roles_are_those_of_the_first_issuer() -> None:
    first, second = issuers_of(ISSUER="https://a.example.com,https://b.example.com", AUDIENCE="x;x")
    assert first.admin_roles
    assert not second.admin_roles


def test_the_console_has_a_client_at_some_of_the_issuers() -> None:
    first, second = issuers_of(
        ISSUER="https://a.example.com,https://b.example.com",
        AUDIENCE="x;x",
        CLIENT_ID="; the-console",
        CLIENT_SECRET=";s3cret",
    )
    assert [first.client_id, second.client_id] == ["", "the-console"]
    assert [first.client_secret, second.client_secret] == ["", "s3cret"]
    assert first.scopes == second.scopes == "openid profile email"


def test_the_secret_of_a_single_client_may_hold_a_semicolon_and_shows_nowhere(tmp_path: Path) -> None:
    one = {"OIDC_ISSUER": "https://a.example.com", "OIDC_AUDIENCE": "x", "OIDC_CLIENT_ID": "c"}
    (tmp_path / "secret").write_text("s3;cret\n")
    (tmp_path / "secret").chmod(0o600)
    settings = read(**one, OIDC_CLIENT_SECRET_FILE=str(tmp_path / "secret"))
    [issuer] = settings.issuers
    assert issuer.client_secret == "s3;cret"
    assert "s3;cret" not in f"{settings} {issuer}"


@pytest.mark.parametrize("url", ["http://127.0.0.1:4000", "http://localhost:4000/realms/x", "http://[::1]:4000"])
def test_an_issuer_on_this_machine_may_be_asked_over_http(url: str) -> None:
    assert issuers_of(ISSUER=url, AUDIENCE="x")[0].url == url


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"ISSUER": "https://a.example.com"}, "OIDC_AUDIENCE is required"),
        ({"ISSUER": "https://a.example.com,https://b.example.com", "AUDIENCE": "x"}, "OIDC_AUDIENCE is required"),
        ({"ISSUER": "https://a.example.com", "AUDIENCE": "x;y"}, "has 2 entries"),
        ({"ISSUER": "https://a.example.com", "AUDIENCE": "x", "VIEWER_ROLES": "a;b"}, "OIDC_VIEWER_ROLES has 2"),
        ({"ISSUER": "https://a.example.com", "AUDIENCE": "x", "ROLES_CLAIM": ""}, "must name a claim"),
        ({"AUDIENCE": "x"}, "need GQL_SECRETS_OIDC_ISSUER"),
        ({"CLIENT_ID": "x"}, "need GQL_SECRETS_OIDC_ISSUER"),
        (
            {"ISSUER": "https://a.example.com", "AUDIENCE": "x", "CLIENT_SECRET": "y"},
            "needs GQL_SECRETS_OIDC_CLIENT_ID",
        ),
        (
            {"ISSUER": "https://a.example.com,https://b.example.com", "AUDIENCE": "x;y", "CLIENT_ID": "1;2;3"},
            "OIDC_CLIENT_ID must have one entry for each issuer",
        ),
        (
            {"ISSUER": "https://a.example.com", "AUDIENCE": "x", "SCOPES": "profile"},
            "must have openid among the scopes",
        ),
        ({"OPERATOR_ROLES": "x"}, "need GQL_SECRETS_OIDC_ISSUER"),
        ({"ISSUER": "https://a.example.com,https://a.example.com/", "AUDIENCE": "x;x"}, "names an issuer twice"),
        ({"ISSUER": "http://login.example.com", "AUDIENCE": "x"}, "must come over https"),
        ({"ISSUER": "login.example.com", "AUDIENCE": "x"}, "comma-separated list of URLs"),
        ({"ISSUER": "https://", "AUDIENCE": "x"}, "comma-separated list of URLs"),
        ({"ISSUER": "https://a.example.com/?x=1", "AUDIENCE": "x"}, "comma-separated list of URLs"),
        ({"ISSUER": "https://user:pass@a.example.com", "AUDIENCE": "x"}, "comma-separated list of URLs"),
        ({"ISSUER": "https://[a", "AUDIENCE": "x"}, "comma-separated list of URLs"),
        ({"ISSUER": "https://a.example.com/" + "x" * 250, "AUDIENCE": "x"}, "at most 250 characters"),
    ],
)
def test_an_invalid_identity_provider_stops_the_start(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(SetupError, match=sentence):
        issuers_of(**variables)


def test_an_issuer_whose_people_would_look_like_those_of_links_is_refused() -> None:
    """`user:link/7` is the person who signed in with the link 7, and nobody else."""
    for url in ("https://link", "https://link/realms/staff", "https://LINK:8443"):
        with pytest.raises(SetupError, match="signed in with a link"):
            read(OIDC_ISSUER=url, OIDC_AUDIENCE="gql-secrets")
    read(OIDC_ISSUER="https://link.example.com", OIDC_AUDIENCE="gql-secrets")


@pytest.mark.parametrize(("text", "days"), [("0", None), ("1", 1), ("3650", 3650)])
def test_the_maximum_age_is_the_policy_of_the_installation(text: str, days: int | None) -> None:
    settings = Settings.from_environment({"GQL_SECRETS_MAXIMUM_AGE_DAYS": text})
    assert settings.rotation_policy.maximum_age_days == days


@pytest.mark.parametrize("text", ["3651", "-1", "90d", "1.5"])
def test_a_maximum_age_out_of_bounds_stops_the_start(text: str) -> None:
    with pytest.raises(SetupError, match="GQL_SECRETS_MAXIMUM_AGE_DAYS"):
        Settings.from_environment({"GQL_SECRETS_MAXIMUM_AGE_DAYS": text})
