"""An HTTP server that answers as a test wants."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[str, bytes], tuple[int, str, bytes]]
"""Of a path and a body, which a GET has not: status, media type and body."""


class Peer(ThreadingHTTPServer):
    def __init__(self, answer: Answer, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answer = answer
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_port}"


class _Request(BaseHTTPRequestHandler):
    server: Peer

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, kind, body = self.server.answer(self.path, asked)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if 300 <= status < 400:
            self.send_header("Location", f"{self.server.url}/login")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - as the server looks it up

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[Peer]:
    with Peer(answer, context) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
