"""A proxy that speaks TLS in front of gql-secrets itself, set up as docs/operations.md says."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from support.pages import page
from support.serving import SECONDS_TO_START

NAME = "secrets.example.com"
CALLER = "127.0.0.2"
INSTALL = "apt-get install nginx openssl"
_NODE = "    server 127.0.0.1:8080 max_fails=0;\n"


def proxy_program() -> str | None:
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    return program if shutil.which("openssl") else None


def recipe(port: int, nodes: tuple[int, ...], folder: Path) -> str:
    [block] = page("docs/operations.md").section("TLS in front").blocks("nginx")
    text = block.text
    for old, new in (
        ("listen      443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        (f"/etc/ssl/{NAME}.pem", f"{folder}/proxy.pem"),
        (f"/etc/ssl/{NAME}.key", f"{folder}/proxy.key"),
        (_NODE, "".join(_NODE.replace("8080", str(node)) for node in nodes)),
    ):
        assert old in text, f"the recipe no longer has {old!r}"
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def proxy(program: str, folder: Path, *nodes: int) -> Iterator[int]:
    """Run the proxy in front of the nodes at these ports, and yield its own port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    files = ["-keyout", f"{folder}/proxy.key", "-out", f"{folder}/proxy.pem"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files], check=True)
    paths = "".join(f"{name}_temp_path {folder};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}{recipe(port, nodes, folder)}}}\n"
    )
    command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + SECONDS_TO_START
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert process.poll() is None, (folder / "error.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield port
        finally:
            process.terminate()


class _Names(aiohttp.abc.AbstractResolver):
    """The proxy's name leads to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        assert host == NAME
        return [
            aiohttp.abc.ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        """Nothing is open."""


def session_through(port: int, folder: Path, credentials: str) -> aiohttp.ClientSession:
    """Return a session that calls the server through the proxy with these credentials, `client id:secret`."""
    client_id, _, secret = credentials.partition(":")
    trust = ssl.create_default_context(cafile=folder / "proxy.pem")
    return aiohttp.ClientSession(
        f"https://{NAME}:{port}",
        connector=aiohttp.TCPConnector(resolver=_Names(), ssl=trust, local_addr=(CALLER, 0)),
        headers={"Authorization": aiohttp.encode_basic_auth(client_id, secret), "Host": NAME},
    )
