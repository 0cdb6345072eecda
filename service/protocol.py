"""HTTP/1.1 on one connection: uvicorn's, with limits on what comes before a request is whole."""

import asyncio
import sys
import time

import orjson
import uvloop
from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.errors import ProblemType, ServiceError
from service.headers import uuid7
from service.logs import Logger
from service.negotiation import MAX_HEAD_BYTES, MAX_HEADERS, TOO_LARGE
from service.problems import MEDIA_TYPE, describe

HEAD_TIMEOUT_S = 10.0
# Below the 1024 files that a process may open where nobody raised that limit.
MAX_CONNECTIONS = 900


class Loop(uvloop.Loop):
    """Gives a TLS handshake as long as a head, by which a connection is first counted."""

    async def create_server(  # type: ignore[override]
        self, *args: object, ssl: object = None, **options: object
    ) -> asyncio.AbstractServer:
        """Listen, with a limit on the handshake where there is one."""
        options["ssl_handshake_timeout"] = HEAD_TIMEOUT_S if ssl else None
        return await super().create_server(*args, ssl=ssl, **options)  # type: ignore[call-overload, no-any-return]


class Protocol(HttpToolsProtocol):
    """Ends what sends no whole request in time, and ignores offers of other protocols.

    Source: RFC 6585 section 5 (431), RFC 9110 section 7.8 (Upgrade) and section 15.5.9 (408).
    """

    _timer: asyncio.TimerHandle | None = None
    _unfinished_bytes = 0
    """What has come since the last whole request or piece of a body."""
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first byte; of too many connections, the one that idles longest goes."""
        super().connection_made(transport)
        self.idle_since = time.monotonic()
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)
        if len(self.connections) > MAX_CONNECTIONS:
            others = [each for each in self.connections if isinstance(each, Protocol)]
            # What could be closed without harm, and is not being closed.
            idle = [each for each in others if not (each.is_busy or each.transport.is_closing())]
            min(idle, key=lambda each: each.idle_since).transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; see that a head does not grow too large, nor takes too long."""
        self._received = data
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        is_large = self._unfinished_bytes > MAX_HEAD_BYTES or len(self.headers or ()) > MAX_HEADERS
        if self._in_body and self._unfinished_bytes > MAX_HEAD_BYTES + len(data):
            # Framing and trailers without end, of which no byte is the body's.
            self.transport.close()
        elif not self._unfinished_bytes or (self._in_body and self.is_busy):
            self._stop_waiting()
        elif is_large and not self._in_body:
            self._refuse(ProblemType.HEADERS_TOO_LARGE, TOO_LARGE)
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; one behind the body (a trailer) is nobody's here."""
        if not self._in_body:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on; what comes without any is counted from here."""
        self._unfinished_bytes = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Begin with a request, unless its head is read again."""
        if not self._has_offer():
            self._in_body = True
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request; of one with an offer, the parser has seen no more than the head."""
        if not self._has_offer():
            self._in_body, self._unfinished_bytes = False, 0
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note when the connection began to idle."""
        self.idle_since = time.monotonic()
        super().on_response_complete()

    @property
    def is_busy(self) -> bool:
        """Whether a request is at work."""
        return self.cycle is not None and not self.cycle.response_complete

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        """End a connection on which no whole request came; 408 where some of its head did."""
        if self.is_busy:
            # What is not whole comes behind a request that still has its time.
            self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)
        elif self._unfinished_bytes and not self._in_body:
            late = f"No whole head came within {HEAD_TIMEOUT_S:g} s."
            self._refuse(ProblemType.HEAD_TIMEOUT, late)
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser does not take, whether a head or the framing of a body."""
        self._refuse(ProblemType.MALFORMED_REQUEST, msg)

    def _refuse(self, kind: ProblemType, why: str) -> None:
        """Answer what is no request, unless another answer is on its way; then close."""
        request_id = str(uuid7())
        in_turn = self._in_body and not self.pipeline and not self.cycle.response_started
        if not self.is_busy or in_turn:
            body = orjson.dumps(describe(ServiceError(kind, why), request_id))
            form = b"content-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            answer = form % (MEDIA_TYPE.encode(), len(body), body)
            self.transport.write(STATUS_LINE[kind.status] + answer)
        self.transport.close()
        peer = self.client[0] if self.client else None
        log: Logger = self.config.loaded_app.state.runtime.log
        log.info("head refused", request_id=request_id, problem=kind.slug, peer=peer)

    def _has_offer(self) -> bool:
        """Java's HttpClient and ``curl --http2`` offer HTTP/2, at which the parser drops bodies."""
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _unsupported_upgrade_warning(self) -> None:
        """Take the offer out of the head, and read it again with what follows it."""
        offer = sys.exception()
        if not isinstance(offer, HttpParserUpgrade) or not self._has_offer():
            super()._unsupported_upgrade_warning()
            return
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        kept = [header for header in self.headers if header[0] != b"upgrade"]
        lines = [b"%s %s HTTP/%s" % (method, self.url, version), *map(b": ".join, kept)]
        head = b"".join(line + b"\r\n" for line in lines) + b"\r\n"
        self.parser = HttpRequestParser(self)
        self._unfinished_bytes = 0
        self.data_received(head + self._received[offer.args[0] :])
