"""Fixtures that run commands in this process."""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.callers import ADMIN, HARD
from support.commands import Outcome, RunCommand, ask_services
from support.installation import PEPPER
from support.listening import listening

from gql_secrets.cli import main
from gql_secrets.service.pages import PageRequest
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

REMOTE_COMMANDS = (("client",), ("session",), ("webhook",), ("sign-in-link",), ("cluster",))


@pytest.fixture(autouse=True)
def very_patient_verifications(patient_verifications: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server of these tests, in a thread, answer for the caller of a command on a busy machine too."""
    del patient_verifications
    monkeypatch.setattr("gql_secrets.service.verification._ANSWER_SECONDS", 60.0)
    monkeypatch.setattr("gql_secrets.storage.postgres.lookup._VERIFY_SECONDS", 60.0)


@pytest.fixture(autouse=True)
def _restored_process() -> Iterator[None]:
    """Undo what a command does to the whole process: its log and its umask."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    levels = {logger: logger.level for logger in loggers}
    handlers, umask = logging.getLogger().handlers[:], os.umask(0o022)
    with warnings.catch_warnings():
        yield
    os.umask(umask)
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers[:] = handlers
    for name in logging.root.manager.loggerDict:
        logger = logging.getLogger(name)
        logger.setLevel(levels.get(logger, logging.NOTSET))
    logging.getLogger().setLevel(levels[logging.getLogger()])


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Run a command in this process, with no setting in the environment."""
    for name in [name for name in os.environ if name.startswith("GQL_SECRETS_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        captured = capsys.readouterr()
        return Outcome(int(exited.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def where(request: pytest.FixtureRequest) -> str:
    """Where commands run that a remote server can run: `BOTH_WAYS` runs a test there too."""
    return str(getattr(request, "param", "local"))


@pytest.fixture
def run(bare: RunCommand, settings: Settings, monkeypatch: pytest.MonkeyPatch, where: str) -> Iterator[RunCommand]:
    """Run a command on an installation that has one owner."""
    monkeypatch.setenv("GQL_SECRETS_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("GQL_SECRETS_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("GQL_SECRETS_PEPPER", PEPPER)
    ask_services(settings, _create_owner)
    if where == "local":
        yield bare
        return
    client_id, secret = ask_services(settings, _reset_owner)
    monkeypatch.setenv("GQL_SECRETS_CLIENT_ID", client_id)
    monkeypatch.setenv("GQL_SECRETS_CLIENT_SECRET", secret)
    with listening(settings) as url:

        def run_there(*arguments: str, stdin: str = "") -> Outcome:
            is_remote = arguments[:1] in REMOTE_COMMANDS or arguments[:2] == ("audit", "export")
            outcome = bare(*(("--url", url) if is_remote else ()), *arguments, stdin=stdin)
            # The server logs in this process too.
            of_command = [line for line in outcome.err.splitlines(keepends=True) if not line.startswith("at=")]
            return replace(outcome, err="".join(of_command))

        yield run_there


async def _create_owner(_services: Services) -> None:
    """Opening the services was the first start."""


async def _reset_owner(services: Services) -> tuple[str, str]:
    page = await services.queries.page_of_clients(PageRequest(first=1))
    client_id = page.rows[0].client_id
    reset = await services.rotation.reset_secret(client_id, HARD, by=ADMIN)
    return client_id, reset.new_secret.reveal()
