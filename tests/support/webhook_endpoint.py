"""An endpoint of webhooks on this machine, for servers that run in processes of their own."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECONDS = 120


class Endpoint:
    """Keeps what it receives, a body and headers each, and answers with `status`; while it is closed, not at all."""

    def __init__(self) -> None:
        self.status = 204
        self.received: list[tuple[str, dict[str, str]]] = []
        self.is_open = threading.Event()
        self.is_open.set()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                endpoint.received.append((body, {name.lower(): value for name, value in self.headers.items()}))
                endpoint.is_open.wait(SECONDS)
                self.send_response(endpoint.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Tests print nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A peer that was killed reads no answer."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def ids(self) -> list[str]:
        """The ids of the events, in the order of their arrival."""
        return [headers["webhook-id"] for _, headers in self.received]

    def stop(self) -> None:
        self.is_open.set()
        self._server.shutdown()
        self._server.server_close()
