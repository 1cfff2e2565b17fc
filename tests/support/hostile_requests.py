"""Requests that no honest program sends, as bytes: made of honest ones for each route, spoiled here and there.

The same seed makes the same requests from the same credentials, so what a run found can be sent again.
"""

import base64
import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from support.hostile_values import CALLS, DOCUMENTS, FORM, HEADERS, JUNK, MESSAGES, METHODS, VERSIONS

Header = tuple[bytes, bytes]


@dataclass(slots=True)
class Known:
    """What an attacker may know: ids, credentials (valid and ended ones), a session's cookie."""

    client_ids: list[str]
    credentials: list[tuple[str, str]]
    node_ids: list[str] = field(default_factory=list)
    session: str = "x"


@dataclass(slots=True)
class Draft:
    """A request before it is bytes."""

    method: bytes
    target: bytes
    headers: list[Header] = field(default_factory=list)
    body: bytes = b""
    version: bytes = b"HTTP/1.1"
    chunked: bool = False
    frames: list[bytes] = field(default_factory=list)
    """What a WebSocket says after its request."""

    def bytes(self) -> bytes:
        """The request's head and body."""
        headers = list(self.headers)
        names = {name.lower() for name, _ in headers}
        body = self.body
        if self.chunked:
            headers.append((b"Transfer-Encoding", b"chunked"))
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in _parts(body) if part) + b"0\r\n\r\n"
        elif body and b"content-length" not in names:
            headers.append((b"Content-Length", str(len(body)).encode()))
        lines = [b"%s %s %s" % (self.method, self.target, self.version)]
        lines += [b"%s: %s" % header for header in headers]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body + b"".join(self.frames)


def _parts(body: bytes) -> list[bytes]:
    return [body[at : at + 700] for at in range(0, len(body), 700)]


_MISFIT = "mutation($x: Int!) { resetSecret(clientId: 5, hoursToLive: $x) { newSecret } }"


def _into_target(draft: Draft, secret: bytes) -> None:
    draft.target += b"/" + secret


def _into_query(draft: Draft, secret: bytes) -> None:
    draft.target += b"?client_secret=" + secret


def _into_parameter(draft: Draft, secret: bytes) -> None:
    draft.target += b"?" + secret + b"=x"


def _into_method(draft: Draft, secret: bytes) -> None:
    draft.method = secret


def _into_version(draft: Draft, secret: bytes) -> None:
    draft.version = secret


def _into_bad_name(draft: Draft, secret: bytes) -> None:
    draft.headers.append((b"Bad Name " + secret, b"x"))


def _into_bad_value(draft: Draft, secret: bytes) -> None:
    draft.headers.append((b"X", secret + b"\x00"))


_PLACES: tuple[Callable[[Draft, bytes], None], ...] = (
    _into_target,
    _into_query,
    _into_parameter,
    _into_method,
    _into_version,
    _into_bad_name,
    _into_bad_value,
)


class Attacker:
    """Makes requests against the routes of the server, one after the other."""

    def __init__(self, seed: int, routes: Sequence[tuple[str, str]], known: Known) -> None:
        self._random = random.Random(seed)  # noqa: S311  for repeating a run, not for secrecy
        self._routes = list(routes)
        self._known = known
        self._spoils: tuple[Callable[[Draft], None], ...] = (
            self._spoil_method,
            self._spoil_target,
            self._spoil_target,
            self._spoil_version,
            self._spoil_header,
            self._spoil_header,
            self._spoil_header,
            self._spoil_header,
            self._spoil_authorization,
            self._spoil_authorization,
            self._spoil_body,
            self._spoil_body,
            self._spoil_body,
            self._spoil_framing,
            self._tell_a_secret,
            self._tell_a_secret,
        )

    def request(self) -> bytes:
        """The next request."""
        kind = self._random.random()
        if kind < 0.03:
            return self._random.randbytes(self._random.choice((1, 5, 40, 400, 70_000)))
        draft = self._socket() if kind < 0.12 else self._honest()
        for _ in range(self._random.choice((0, 0, 1, 1, 1, 1, 2, 2, 3, 5))):
            self._random.choice(self._spoils)(draft)
        text = draft.bytes()
        if self._random.random() < 0.2:
            text = self._flipped(text)
        if self._random.random() < 0.03:
            text = text[: self._random.randrange(len(text) + 1)]
        if self._random.random() < 0.03:
            text += self._honest().bytes()
        return text

    # -- Honest requests

    def _honest(self) -> Draft:
        method, route = self._random.choice(self._routes)
        return {
            "/graphql": self._graphql,
            "/clients": self._clients,
            "/clients/{call}": self._clients,
            "/sign-in": self._sign_in,
        }.get(route, lambda: self._plain(method, route))()

    def _plain(self, method: str, route: str) -> Draft:
        target = route
        for name in ("tail", "call", "name"):
            target = target.replace(f"{{{name}}}", self._random.choice(("x", "a/b/c", "index.js", "get", "main.css")))
        draft = Draft(
            self._random.choice((b"GET", b"POST")) if method == "*" else method.encode(),
            target.encode(),
            [(b"Host", b"127.0.0.1")],
        )
        self._sign(draft)
        return draft

    def _graphql(self) -> Draft:
        document = self._filled(self._random.choice(DOCUMENTS))
        headers = [(b"Host", b"127.0.0.1"), (b"Content-Type", b"application/json")]
        if document.startswith("subscription"):
            headers.append((b"Accept", b"text/event-stream"))
        if self._random.random() < 0.15:
            draft = Draft(b"GET", b"/graphql?query=" + quote(document).encode() + b"&variables=%7B%7D", headers[:1])
        else:
            body = json.dumps({"query": document, "variables": {}, "operationName": None}).encode()
            draft = Draft(b"POST", b"/graphql", headers, body)
        self._sign(draft)
        return draft

    def _clients(self) -> Draft:
        fields = {"for_client_id": self._random.choice(self._known.client_ids)}
        fields |= {name: self._random.choice(values) for name, values in FORM.items() if self._random.random() < 0.5}
        call = self._random.choice(CALLS)
        if call == "delete" and self._random.random() < 0.1:
            fields["client_id_for_deletion"] = self._random.choice(self._known.client_ids[1:] or ["x"])
        draft = Draft(
            b"POST",
            f"/clients/{call}".encode(),
            [(b"Host", b"127.0.0.1"), (b"Content-Type", b"application/x-www-form-urlencoded")],
        )
        if self._random.random() < 0.5:
            self._sign(draft)
        else:
            fields["client_id"], fields["client_secret"] = self._credential()
        draft.body = "&".join(f"{name}={quote(value)}" for name, value in fields.items()).encode()
        return draft

    def _sign_in(self) -> Draft:
        if self._random.random() < 0.3:
            return Draft(b"GET", b"/sign-in", [(b"Host", b"127.0.0.1")])
        token = self._random.choice((self._known.session, "x", "", 5, None, ["x"], "\ud800", "a" * 2000))
        return Draft(
            b"POST",
            b"/sign-in",
            [(b"Host", b"127.0.0.1"), (b"Content-Type", b"application/json"), (b"Sec-Fetch-Site", b"same-origin")],
            json.dumps({"token": token}).encode(),
        )

    def _socket(self) -> Draft:
        draft = Draft(
            b"GET",
            b"/graphql",
            [
                (b"Host", b"127.0.0.1"),
                (b"Connection", b"Upgrade"),
                (b"Upgrade", b"websocket"),
                (b"Sec-WebSocket-Version", b"13"),
                (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
                (b"Sec-WebSocket-Protocol", b"graphql-transport-ws"),
            ],
        )
        self._sign(draft)
        if self._random.random() < 0.7:
            draft.frames.append(self._frame(b'{"type":"connection_init"}'))
        for _ in range(self._random.randrange(6)):
            document = self._filled(self._random.choice(DOCUMENTS))
            text = json.dumps(self._random.choice(MESSAGES)).replace('"DOCUMENT"', json.dumps(document))
            text = text.replace("BASIC", self._basic(self._credential()))
            draft.frames.append(self._frame(text.encode()))
        return draft

    def _frame(self, payload: bytes) -> bytes:
        """A frame of a WebSocket: text mostly, whole and masked mostly."""
        choice = self._random.choice
        opcode = 1 if self._random.random() < 0.8 else choice((0, 1, 2, 3, 8, 9, 10, 15))
        if self._random.random() < 0.1:
            payload = choice((b"", b"\xff", b"\x03\xe8", b"\x00\x00", b"x" * 200, payload * 3))
        first = opcode | (0x80 if self._random.random() < 0.95 else choice((0, 0x40, 0xC0, 0xF0)))
        length = len(payload)
        if self._random.random() < 0.04:
            length = choice((0, 5, 127, 65_536, 2**62))
        mask = 0x80 if self._random.random() < 0.97 else 0
        if length < 126:
            head = bytes([first, mask | length])
        elif length < 65_536:
            head = bytes([first, mask | 126]) + length.to_bytes(2, "big")
        else:
            head = bytes([first, mask | 127]) + length.to_bytes(8, "big")
        key = self._random.randbytes(4) if mask else b""
        masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload)) if mask else payload
        return head + key + masked

    def _filled(self, document: str) -> str:
        return document.replace("CLIENT", self._random.choice(self._known.client_ids)).replace(
            "NODE", self._random.choice(self._known.node_ids or ["x"])
        )

    # -- Credentials

    def _credential(self) -> tuple[str, str]:
        return self._random.choice(self._known.credentials)

    def _basic(self, credential: tuple[str, str]) -> str:
        return "Basic " + base64.b64encode(":".join(credential).encode()).decode()

    def _sign(self, draft: Draft) -> None:
        kind = self._random.random()
        if kind < 0.75:
            draft.headers.append((b"Authorization", self._basic(self._credential()).encode()))
        elif kind < 0.85:
            draft.headers.append((b"Cookie", b"gql_secrets_session=" + self._known.session.encode()))
            draft.headers.append((b"Sec-Fetch-Site", b"same-origin"))

    # -- What spoils a request

    def _spoil_method(self, draft: Draft) -> None:
        draft.method = self._random.choice(METHODS)

    def _spoil_target(self, draft: Draft) -> None:
        junk = self._random.choice(JUNK)
        draft.target = self._random.choice(
            (
                draft.target + junk,
                draft.target + b"/" + junk,
                draft.target + b"?" + junk,
                draft.target + b"?a=" + junk + b"&a=" + junk,
                draft.target + b"?query=" + junk,
                draft.target + b"#" + junk,
                b"/" + junk + draft.target,
                b"http://127.0.0.1" + draft.target,
                b"http://[" + draft.target,
                b"/" + draft.target,
                draft.target.upper(),
                draft.target.replace(b"e", b"%65").replace(b"/c", b"%2fc"),
                draft.target + b"?" + b"&".join(b"x%d=" % number for number in range(300)),
                b"/assets/" + junk,
                junk,
                b"*",
            )
        )

    def _spoil_version(self, draft: Draft) -> None:
        draft.version = self._random.choice(VERSIONS)

    def _spoil_header(self, draft: Draft) -> None:
        choice = self._random.choice
        kind = self._random.random()
        if kind < 0.15 and draft.headers:
            draft.headers.pop(self._random.randrange(len(draft.headers)))
        elif kind < 0.3 and draft.headers:
            name, value = choice(draft.headers)
            draft.headers.append((name, choice((value, choice(JUNK), value + choice(JUNK)))))
        elif kind < 0.35:
            draft.headers += [(b"X-%d" % number, b"x") for number in range(choice((50, 500)))]
        elif kind < 0.4:
            draft.headers.append((b"X-Folded", b"a\r\n " + choice(JUNK)))
        else:
            name = choice(list(HEADERS))
            draft.headers.append((name, choice((*HEADERS[name], choice(JUNK)))))

    def _spoil_authorization(self, draft: Draft) -> None:
        client_id, secret = self._credential()
        other, _ = self._credential()
        choices: tuple[bytes, ...] = (
            b"Basic",
            b"Basic ",
            b"Basic \xff",
            b"Basic " + base64.b64encode(b"\xff\xfe:\xff"),
            b"Basic " + base64.b64encode(b"no colon"),
            b"Basic " + base64.b64encode(b":"),
            b"Basic " + base64.b64encode(f":{secret}".encode()),
            b"Basic " + base64.b64encode(f"{client_id}:".encode()),
            b"Basic " + base64.b64encode(f"{client_id}:{secret}\x00".encode()),
            b"Basic " + base64.b64encode(f"{client_id}\x00:{secret}".encode()),
            b"Basic " + base64.b64encode(f"{client_id}:{secret.upper()}".encode()),
            b"Basic " + base64.b64encode(f"{client_id}:{secret[:-1]}".encode()),
            b"Basic " + base64.b64encode(f"{other}:{secret}".encode()),
            b"Basic " + base64.b64encode(f"{'x' * 3000}:{secret}".encode()),
            b"Basic " + base64.b64encode(b"x:" + b"y" * 7000),
            b"Basic " + base64.b64encode("\ud800:x".encode("utf-8", "surrogatepass")),
            b"basic  " + base64.b64encode(f"{client_id}:{secret}".encode()) + b"=",
            b"Basic " + base64.urlsafe_b64encode(f"{client_id}:{secret}?>".encode()),
            b"Bearer " + secret.encode(),
            b"Signature id:" + secret.encode(),
            secret.encode(),
            b"Negotiate x",
            b"\xff",
        )
        draft.headers = [header for header in draft.headers if header[0] != b"Authorization"]
        draft.headers.append((b"Authorization", self._random.choice(choices)))

    def _spoil_body(self, draft: Draft) -> None:
        choice = self._random.choice
        body = draft.body
        document = self._filled(choice(DOCUMENTS))
        draft.body = choice(
            (
                b"",
                body[: len(body) // 2],
                body * 2,
                body + choice(JUNK),
                choice(JUNK),
                b"\xef\xbb\xbf" + body,
                body.decode("latin-1").encode("utf-16"),
                zlib.compress(body),
                b"[" * 100_000,
                b'{"a":' * 30_000,
                b'{"query": "{ viewer { name } }", "variables": ' + b"[" * 900 + b"]" * 900 + b"}",
                b'{"query": "\\ud800"}',
                b'{"query": "{ a(b: \\"\\ud800\\") }"}',
                b'{"query": 1e999}',
                b'{"query": "{ viewer { name } }", "query": "x"}',
                b'{"query": "{ viewer { name } }", "operationName": "\\u0000"}',
                b'{"query": "{ viewer { name } }", "extensions": {"persistedQuery": 5}}',
                b'{"documentId": "sha256:x"}',
                json.dumps([{"query": document}] * 3).encode(),
                json.dumps({"query": document[: self._random.randrange(len(document))]}).encode(),
                json.dumps({"query": document.replace('"', "", 1)}).encode(),
                json.dumps({"query": document.replace('"', '"""', 1)}).encode(),
                json.dumps({"query": document, "variables": {"x": choice(JUNK).decode("latin-1")}}).encode(),
                json.dumps(
                    {"query": "query($c: ID!) { client(clientId: $c) { name } }", "variables": {"c": 10**30}}
                ).encode(),
                json.dumps({"query": "#" * 70_000}).encode(),
                b"x" * 140_000,
                b"for_client_id=x&for_client_id=y",
                b"&".join(b"a%d=1" % number for number in range(200)),
                b"for_client_id=%ff&hours_to_live=%",
                b"client_id=x&client_secret=\xff",
                b"a=b;c=d",
            )
        )

    def _spoil_framing(self, draft: Draft) -> None:
        kind = self._random.randrange(4)
        if kind == 0:
            draft.chunked = True
        elif kind == 1:
            bad = (
                b"zz\r\nx\r\n",
                b"-5\r\n",
                b"5\r\nab\r\n0\r\n\r\n",
                b"ffffffffffffffffff\r\nx",
                b"5;a=\xff\r\nabcde\r\n0\r\n\r\n",
            )
            draft.headers.append((b"Transfer-Encoding", b"chunked"))
            draft.body = self._random.choice(bad)
            draft.headers.append((b"X-End", b"1"))
        elif kind == 2:
            draft.headers.append((b"Content-Length", self._random.choice(HEADERS[b"Content-Length"])))
        else:
            draft.headers.append((b"Content-Length", str(len(draft.body)).encode()))
            draft.chunked = True

    def _tell_a_secret(self, draft: Draft) -> None:
        """Put a secret, or a credential, where it does not belong: it must come back from nowhere."""
        credential = self._credential()
        secret = self._random.choice(
            (
                credential[1].encode(),
                base64.b64encode(":".join(credential).encode()),
                credential[1].encode().hex().encode(),
                "".join(f"%{ord(letter):02x}" for letter in credential[1]).encode(),
                self._known.session.encode(),
            )
        )
        asked = json.dumps({"query": '{ client(clientId: "' + secret.decode() + '") { name } }'}).encode()
        # An error names the field that does not exist, but not a secret; what a name encodes, nobody can know.
        named = json.dumps({"query": "{ a" + credential[1] + " }"}).encode()
        given = json.dumps({"query": _MISFIT, "variables": {"x": secret.decode()}}).encode()
        form = b"for_client_id=" + secret + b"&hours_to_live=" + secret + b"&" + secret + b"=1"
        kind = self._random.randrange(12)
        if kind < len(_PLACES):
            _PLACES[kind](draft, secret)
        elif kind == len(_PLACES):
            draft.headers.append((self._random.choice(list(HEADERS)), secret))
        else:
            draft.body = self._random.choice((asked, named, given, form))

    def _flipped(self, text: bytes) -> bytes:
        """The text with some bytes changed, left out, put in, or repeated."""
        spoiled = bytearray(text)
        for _ in range(self._random.choice((1, 1, 2, 5, 20))):
            at = self._random.randrange(len(spoiled) or 1)
            kind = self._random.randrange(4)
            if kind == 0 and spoiled:
                spoiled[at] = self._random.randrange(256)
            elif kind == 1 and spoiled:
                del spoiled[at]
            elif kind == 2:
                spoiled[at:at] = self._random.choice(JUNK)
            else:
                spoiled[at:at] = spoiled[at : at + self._random.randrange(30)]
        return bytes(spoiled)
