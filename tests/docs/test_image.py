"""The container image: its file is linted, and its steps run in plain directories, without a builder.

The directories take the place of the file system of the image. The program runs in them as it would there: with its
environment, its entry point, no privileges and only the data directory to write to.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.paths import ROOT
from support.serving import PROGRAM, SECONDS_TO_STOP, Serving, wait_for_url

DOCKERFILE = ROOT / "docs" / "deploy" / "Dockerfile"
PROGRAM_FOLDER = "/opt/gql-secrets"
DATA_FOLDER = "/var/lib/gql-secrets"
USER = 10001
ASKED_BY_HEALTH_CHECK = "http://127.0.0.1:8080"


def stages() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the instructions of the build and of the image, with their arguments."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    all_of_them = [(name, arguments) for name, arguments in lines]
    second = [name for name, _ in all_of_them].index("FROM", 1)
    return all_of_them[:second], all_of_them[second:]


@dataclass(frozen=True, slots=True)
class Image:
    """The image in plain directories.

    Attributes:
        program: what is at /opt/gql-secrets.
        data: what is at /var/lib/gql-secrets.
        prefix: the command that drops the privileges of what follows it.
    """

    program: Path
    data: Path
    prefix: Sequence[str]

    def placed(self, text: str) -> str:
        return text.replace(PROGRAM_FOLDER, str(self.program)).replace(DATA_FOLDER, str(self.data))

    def environment(self) -> dict[str, str]:
        """The variables of the image, and no others."""
        [given] = [arguments for name, arguments in stages()[1] if name == "ENV"]
        values = dict(part.split("=", 1) for part in shlex.split(self.placed(given)))
        return values | {"PATH": values["PATH"].replace("$PATH", os.environ["PATH"])}

    def instruction(self, name: str) -> list[str]:
        [arguments] = [arguments for each, arguments in stages()[1] if each == name]
        return list(json.loads(arguments.removeprefix("CMD ")))


def run(command: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]


def build(program: Path, source: Path) -> None:
    """Run the first stage: copy what the build sees, and install it."""
    source.mkdir()
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    for name, arguments in stages()[0]:
        if name == "COPY":
            *origins, _ = arguments.split()
            for origin in origins:
                assert f"!{origin}" in ignored, "the build does not see it"
                if (ROOT / origin).is_dir():
                    # With the console as it was built here: building it again takes a minute and proves nothing new.
                    left_out = shutil.ignore_patterns("__pycache__", "node_modules")
                    shutil.copytree(ROOT / origin, source / origin, ignore=left_out)
                else:
                    shutil.copy(ROOT / origin, source / origin)
    [install] = [arguments for name, arguments in stages()[0] if name == "RUN" and "uv sync" in arguments]
    # The cache is used here: a test must not download everything again.
    command = install.replace(PROGRAM_FOLDER, str(program)).replace(" --no-cache", "")
    own = ("VIRTUAL_ENV", "UV_PROJ", "UV_COMPILE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    run(["sh", "-c", command], environment, source)
    shutil.rmtree(source)  # the second stage has none of it


def dropping_privileges(program: Path) -> list[str]:
    """Return the command that runs another one as the image's user, as far as this machine allows it.

    Root cannot become a user whom the interpreter's own folder is closed to; without its capabilities it obeys the
    modes of files as any user does.
    """
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    without_capabilities = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    as_user = [*without_capabilities, f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    tried = subprocess.run([*as_user, program / "bin" / "python", "-c", ""], capture_output=True, check=False)
    return as_user if tried.returncode == 0 else without_capabilities


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Run the steps of the file in directories that any user may enter."""
    root = Path(tempfile.mkdtemp(prefix="gql-secrets-image-"))
    root.chmod(0o755)
    try:
        program, data = root / "opt", root / "data"
        build(program, root / "src")
        made = Image(program, data, dropping_privileges(program))
        for name, arguments in stages()[1]:
            if name == "RUN":
                command = shlex.split(made.placed(arguments))
                if f"--reuid={USER}" not in made.prefix:
                    command = [part for part in command if not part.startswith(("--owner=", "--group="))]
                run(command, os.environ, root)
        subprocess.run(["chmod", "-R", "a-w", program], check=True)
        yield made
    finally:
        subprocess.run(["chmod", "-R", "u+w", root], check=True)
        shutil.rmtree(root)


def test_the_file_follows_the_rules_of_a_linter() -> None:
    linted = subprocess.run([PROGRAM.with_name("hadolint"), DOCKERFILE], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_image_has_the_program_and_its_console(image: Image) -> None:
    printed = subprocess.run(
        [*image.prefix, "gql-secrets", "schema"], env=image.environment(), capture_output=True, text=True, check=True
    )
    assert printed.stdout == (ROOT / "schema.graphql").read_text()
    assert list(image.program.glob("lib/python3*/site-packages/gql_secrets/console/built/index.html"))


def test_the_image_has_the_program_and_its_libraries_compiled(image: Image) -> None:
    """The program's user cannot write there, so each start would compile everything again."""
    [packages] = image.program.glob("lib/python3*/site-packages")
    for package in ("gql_secrets", "strawberry"):
        compiled = {path.name.partition(".")[0] for path in packages.glob(f"{package}/**/__pycache__/*.pyc")}
        assert compiled >= {path.stem for path in packages.glob(f"{package}/**/*.py")}


@pytest.mark.skipif(sys.platform != "linux", reason="an image is Linux")
def test_the_image_serves_without_privileges_on_a_file_system_that_is_read_only(image: Image, tmp_path: Path) -> None:
    environment = image.environment()
    command = [*image.prefix, *image.instruction("ENTRYPOINT"), *image.instruction("CMD")]
    with (tmp_path / "stdout").open("wb") as out, (tmp_path / "stderr").open("wb") as err:
        # `docker run gql-secrets serve …`, without a gateway in front.
        process = subprocess.Popen(
            [*command, "--insecure", "--port", "0"], cwd="/", env=environment, stdout=out, stderr=err
        )
    try:
        server = Serving(wait_for_url(process, tmp_path), process, tmp_path)
        program, *options, code = image.instruction("HEALTHCHECK")
        assert ASKED_BY_HEALTH_CHECK in code
        code = code.replace(ASKED_BY_HEALTH_CHECK, f"http://127.0.0.1:{server.port}")
        check = [*image.prefix, program, *options, code]
        run(check, environment, image.program)
        made = {path.name for path in image.data.iterdir()}
        assert {"gql-secrets.db", "pepper.keys"} <= made
        assert server.owner  # the first start printed it
        assert server.stop() == 0
        assert subprocess.run(check, env=environment, capture_output=True, check=False).returncode == 1
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(SECONDS_TO_STOP)


def test_nothing_of_the_program_can_be_changed_by_its_user(image: Image) -> None:
    """Otherwise the test above would not show that the program needs to write nothing there."""
    change = [*image.prefix, "sh", "-c", f"touch {shlex.quote(str(image.program))}/bin/new"]
    assert subprocess.run(change, capture_output=True, check=False).returncode != 0
