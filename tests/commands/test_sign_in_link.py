"""`gql-secrets sign-in-link`, as an administrator uses it next to a running server, and the link of the first start."""

import http.client
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.browsers import COOKIE
from support.databases import temporary_directory
from support.serving import PROGRAM, Serving, environment, serving

from gql_secrets.commands.sign_in_address import address_of, remember_address
from gql_secrets.settings import Settings

LINK = re.compile(r"http://127\.0\.0\.1:(\d+)/sign-in#([\w-]{43})")


@pytest.fixture(scope="module")
def server():
    """A server on a port that no setting names."""
    with temporary_directory() as directory, serving(Path(directory)) as running:
        yield running


def command(server: Serving, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "sign-in-link", *arguments],
        cwd=server.folder,
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )


def ask(url: str, path: str, body: object, **headers: str) -> tuple[int, str | None, object]:
    """What the page of that address sends when its button is pressed, and what it gets."""
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
    try:
        sent = {"Content-Type": "application/json", "Origin": f"http://{at.netloc}", **headers}
        connection.request("POST", path, json.dumps(body), sent)
        response = connection.getresponse()
        text = response.read()
        return response.status, response.getheader("Set-Cookie"), json.loads(text) if text else None
    finally:
        connection.close()


def viewer_of(url: str) -> object:
    """Who is signed in by this link."""
    status, cookie, _ = ask(url, "/sign-in", {"token": urlsplit(url).fragment})
    assert status == 204
    assert cookie is not None
    value = cookie.partition(";")[0]
    assert value.startswith(COOKIE)
    _, _, content = ask(url, "/graphql", {"query": "{ viewer { name roles } }"}, Cookie=value)
    assert isinstance(content, dict)
    return content["data"]["viewer"]


def test_it_prints_the_address_on_stdout_and_nothing_else(server: Serving):
    done = command(server, "--role", "VIEWER", "--name", "Vera")

    assert done.returncode == 0
    assert LINK.fullmatch(done.stdout.strip())
    assert done.stdout.count("\n") == 1
    assert "Vera" in done.stderr
    assert urlsplit(done.stdout).fragment.strip() not in done.stderr


def test_the_address_is_that_of_the_running_server_and_signs_in_once(server: Serving):
    url = command(server, "--role", "operator", "--name", "Olga").stdout.strip()

    assert viewer_of(url) == {"name": "Olga", "roles": ["OPERATOR", "VIEWER"]}
    status, cookie, _ = ask(url, "/sign-in", {"token": urlsplit(url).fragment})
    assert (status, cookie) == (401, None)


def test_without_options_it_is_for_the_administrator_at_the_keyboard(server: Serving):
    viewer = viewer_of(command(server).stdout.strip())

    assert isinstance(viewer, dict)
    assert viewer["roles"] == ["ADMIN", "OPERATOR", "VIEWER"]
    assert viewer["name"]


def test_json_for_scripts(server: Serving):
    data = json.loads(command(server, "--name", "Ada", "--json").stdout)

    assert LINK.fullmatch(data["url"])
    assert (data["name"], data["role"]) == ("Ada", "ADMIN")
    assert data["expiresAt"].endswith("Z")


@pytest.mark.parametrize("arguments", [("--role", "OWNER"), ("--name", " "), ("--name", "a\nb")])
def test_an_invalid_role_or_name_is_refused(server: Serving, arguments: tuple[str, ...]):
    done = command(server, *arguments)

    assert done.returncode != 0
    assert done.stdout == ""


def test_the_public_url_takes_precedence(server: Serving):
    done = command(server, public_url="https://secrets.example.com")
    assert done.stdout.startswith("https://secrets.example.com/sign-in#")


def test_the_first_start_prints_a_link_that_signs_its_administrator_in(server: Serving):
    found = LINK.search(server.stdout)

    assert found is not None
    viewer = viewer_of(found[0])
    assert isinstance(viewer, dict)
    assert viewer["roles"][0] == "ADMIN"


def test_no_link_is_logged(server: Serving):
    url = command(server).stdout.strip()
    viewer_of(url)

    assert urlsplit(url).fragment not in server.stderr


def test_the_link_of_a_server_that_could_not_write_its_address_has_the_one_of_the_settings(tmp_path: Path) -> None:
    """On a full disk, the file is empty."""
    settings = Settings(data_dir=tmp_path, port=8081)
    remember_address(settings)
    assert address_of(replace(settings, port=8080)) == "http://127.0.0.1:8081"
    (tmp_path / "server.url").write_text("")
    assert address_of(settings) == "http://127.0.0.1:8081"
