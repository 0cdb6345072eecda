"""A real server on the loopback interface, small enough to count on."""

import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class CountingServer(ThreadingHTTPServer):
    """Answers every POST with 200, and every third one with 429 where it is told to be busy.

    The first requests are delayed by ``delays_s``, one each.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes] = []
        self.connections = 0
        self.busy = False
        self.closes = False
        self.delays_s: list[float] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is what some tests are about."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CountingServer

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.delays_s:
            time.sleep(self.server.delays_s.pop(0))
        busy = self.server.busy and len(self.server.bodies) % 3 == 0
        self.send_response(HTTPStatus.TOO_MANY_REQUESTS if busy else HTTPStatus.OK)
        self.send_header("Content-Length", "2")
        if self.server.closes:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments: object) -> None:
        """Keep the tests quiet."""


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with CountingServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()
