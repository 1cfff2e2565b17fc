"""The files of docs/deploy/ as far as a machine without their platforms can check them."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.pages import page
from support.paths import ROOT
from support.serving import PROGRAM, serving

from gql_secrets.commands.serving.app import SECONDS_TO_STOP
from gql_secrets.domain.durations import parse_duration
from gql_secrets.settings import Settings

DEPLOY = ROOT / "docs" / "deploy"
IMAGE_USER = 10001
MAX_EXPOSURE = "15"  # of 100: 1.5 of 10


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions and their arguments."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    return [(instruction, arguments) for instruction, arguments in lines]


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


def kubernetes() -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


def container() -> dict[str, Any]:
    [only] = kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(only)


def start_settings(given: dict[str, str], folder: Path) -> Settings:
    """Read the settings as a start would; a file or a variable that the operator fills in is a sample."""
    samples = {
        "GQL_SECRETS_DATABASE_URL_FILE": "postgres://user:password@postgres:5432/name",
        "GQL_SECRETS_PEPPER_FILE": "k1:" + "A" * 43,
        "GQL_SECRETS_PUBLIC_URL": "https://secrets.example.com",
        "GQL_SECRETS_TRUSTED_PROXIES": "172.16.238.1",
    }
    values = {}
    for name, value in given.items():
        values[name] = samples[name] if value.startswith("${") else value
        if name.endswith("_FILE"):
            path = folder / name
            path.write_text(samples[name])
            values[name] = str(path)
    return Settings.from_environment(values)


def test_the_unit_is_one_that_systemd_accepts(tmp_path: Path) -> None:
    unit = DEPLOY / "gql-secrets.service"
    text = unit.read_text()
    assert re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert "DynamicUser" not in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: install the package systemd")
    here = tmp_path / unit.name
    here.write_text(text.replace("/opt/gql-secrets/bin/gql-secrets", str(PROGRAM)))
    verified = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = ["systemd-analyze", "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", str(here)]
    security = subprocess.run(rated, capture_output=True, text=True, check=False)
    assert security.returncode == 0, security.stdout[-300:]


def test_the_image_is_built_in_two_stages_and_runs_without_privileges() -> None:
    instructions = dockerfile()
    assert [arguments for name, arguments in instructions if name == "FROM"] == [
        "python:3.13-slim AS build",
        "python:3.13-slim",
    ]
    names = [name for name, _ in instructions]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name in ("RUN", "COPY"))
    assert dict(instructions)["USER"] == f"{IMAGE_USER}:{IMAGE_USER}"
    assert dict(instructions)["ENTRYPOINT"] == '["gql-secrets"]'
    environment = dict(part.split("=", 1) for part in shlex.split(dict(instructions)["ENV"]) if "GQL_" in part)
    assert start_settings({**environment, "GQL_SECRETS_PUBLIC_URL": "${}"}, Path()).host == "0.0.0.0"  # noqa: S104


def test_the_health_check_of_the_image_fails_without_a_server(tmp_path: Path) -> None:
    [check] = [arguments for name, arguments in dockerfile() if name == "HEALTHCHECK"]
    program, option, code = yaml.safe_load(check.removeprefix("CMD "))
    assert (program, option) == ("python", "-c")
    with serving(tmp_path) as server:
        code = code.replace("http://127.0.0.1:8080", server.url)
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
        server.stop()
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 1


def test_the_compose_file_runs_two_hardened_nodes_whose_settings_are_valid(tmp_path: Path) -> None:
    services = compose()["services"]
    assert set(services) == {"node-1", "node-2", "postgres"}
    for name in ("node-1", "node-2"):
        node = services[name]
        assert (DEPLOY / node["build"]["context"]).resolve() == ROOT
        assert (ROOT / node["build"]["dockerfile"]).is_file()
        assert (node["read_only"], node["cap_drop"]) == (True, ["ALL"])
        assert all(port.startswith("127.0.0.1:") for port in node["ports"])
        files = {value for key, value in node["environment"].items() if key.endswith("_FILE")}
        assert files == {f"/run/secrets/{secret}" for secret in node["secrets"]}
        settings = start_settings(node["environment"], tmp_path)
        assert (
            settings.drain_delay.total_seconds() + SECONDS_TO_STOP
            < parse_duration(node["stop_grace_period"]).total_seconds()
        )
    used = {secret for service in services.values() for secret in service["secrets"]}
    assert used == set(compose()["secrets"])


def test_the_compose_file_follows_the_published_schema() -> None:
    check = [str(PROGRAM.with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, DEPLOY / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_commands_of_the_compose_page_make_every_secret(tmp_path: Path) -> None:
    [block] = page("docs/deploy/README.md").section("Docker Compose").blocks("sh")
    commands = "\n".join(line for line in block.text.splitlines() if "docker compose" not in line)
    subprocess.run(["sh", "-euc", commands], cwd=tmp_path, check=True)
    made = {path.name for path in (tmp_path / "secrets").iterdir()}
    assert made == set(compose()["secrets"])
    settings = Settings.from_environment(
        {
            "GQL_SECRETS_DATABASE_URL_FILE": str(tmp_path / "secrets" / "database-url"),
            "GQL_SECRETS_PEPPER_FILE": str(tmp_path / "secrets" / "pepper"),
        }
    )
    assert settings.load_pepper() is not None
    assert settings.database_url.startswith("postgres://gql_secrets:")


def test_the_manifest_has_probes_hardening_and_valid_settings(tmp_path: Path) -> None:
    pod = kubernetes()["Deployment"]["spec"]["template"]["spec"]
    node = container()
    assert (pod["enableServiceLinks"], pod["automountServiceAccountToken"]) == (False, False)
    assert pod["securityContext"]["runAsUser"] == IMAGE_USER
    assert pod["securityContext"]["runAsNonRoot"]
    assert node["securityContext"]["readOnlyRootFilesystem"]
    assert node["livenessProbe"]["httpGet"]["path"] == node["startupProbe"]["httpGet"]["path"] == "/livez"
    assert node["readinessProbe"]["httpGet"]["path"] == "/readyz"
    settings = start_settings({each["name"]: each["value"] for each in node["env"]}, tmp_path)
    assert {port["name"]: port["containerPort"] for port in node["ports"]} == {
        "http": settings.port,
        "metrics": settings.metrics_port,
    }
    # A node leaves the Service before it stops to listen, and has stopped before it is killed.
    delay = settings.drain_delay.total_seconds()
    assert node["readinessProbe"]["periodSeconds"] * node["readinessProbe"]["failureThreshold"] < delay
    assert delay + SECONDS_TO_STOP < pod["terminationGracePeriodSeconds"]
    [volume] = pod["volumes"]
    assert volume["secret"]["defaultMode"] & 0o022 == 0


def test_the_manifest_follows_the_schemas_of_kubernetes() -> None:
    check = [str(PROGRAM.with_name("kubernetes-validate")), "--strict"]
    done = subprocess.run([*check, DEPLOY / "kubernetes.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_parts_of_the_manifest_select_the_same_pods() -> None:
    parts = kubernetes()
    labels = parts["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert parts["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert parts["Service"]["spec"]["selector"] == labels
    assert parts["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    [port] = parts["Service"]["spec"]["ports"]
    assert port["targetPort"] in {each["name"] for each in container()["ports"]}


@pytest.mark.parametrize("name", ["gql-secrets.service", "Dockerfile", "compose.yaml", "kubernetes.yaml"])
def test_the_page_links_each_file(name: str) -> None:
    assert f"]({name})" in page("docs/deploy/README.md").text
