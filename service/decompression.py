"""Inflates request bodies as they arrive, within the limits of every body. Plain ASGI.

Source: RFC 9110 section 8.4.1 (gzip is RFC 1952, deflate is RFC 1950).
"""

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, MalformedEncoding, UnsupportedEncoding
from service.headers import header_of
from service.limits import ReceiveBudget

# As zlib's inflateInit2 takes them: 15 for its own format, 16 more for gzip's.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
STEP_BYTES = 256 * 1024


class Decompression:
    """Gives the routes the body as it was before its Content-Encoding.

    It belongs inside what counts and times the bytes that arrive.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, budget: ReceiveBudget) -> None:
        """Wrap an application.

        Args:
            app: The application.
            max_body_bytes: The most that a body may grow to.
            budget: Counts the inflated bytes too, until the request is answered.
        """
        self._app = app
        self._limit = max_body_bytes
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on.

        Raises:
            UnsupportedEncoding: Out of ``receive``, to whoever reads the body; so are the others.
            BodyTooLarge: The body grows too large.
            TooManyUploads: All bodies together grow too large.
            MalformedEncoding: The body is not in its encoding, or breaks off.
        """
        encoding = (header_of(scope, b"content-encoding") or "") if scope["type"] == "http" else ""
        if encoding.strip().lower() in ("", "identity"):
            await self._app(scope, receive, send)
            return
        body = _Inflated(receive, encoding.strip().lower(), self._limit, self._budget)
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._budget.give_back(body.held)


class _Inflated:
    """One body that grows."""

    def __init__(self, receive: Receive, encoding: str, limit: int, budget: ReceiveBudget) -> None:
        self.held = 0
        self._receive = receive
        self._encoding = encoding
        self._limit = limit
        self._budget = budget
        self._pieces = self._inflate()

    async def receive(self) -> Message:
        piece = await anext(self._pieces, None)
        if piece is None:
            # The body is over: what comes now is the client's end.
            return await self._receive()
        return piece

    async def _inflate(self) -> AsyncIterator[Message]:
        if self._encoding not in _WINDOW_BITS:
            raise UnsupportedEncoding("The Content-Encoding must be gzip, deflate, or none.")
        decoder = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                yield message
                continue
            more, chunk = message.get("more_body", False), message.get("body", b"")
            while chunk:
                piece = await _step(decoder, chunk)
                chunk = decoder.unconsumed_tail
                if decoder.unused_data:
                    raise MalformedEncoding("The compressed body goes on behind its own end.")
                yield self._hold(piece)
        if not decoder.eof:
            raise MalformedEncoding("The compressed body breaks off before its end.")
        yield {"type": "http.request", "body": b"", "more_body": False}

    def _hold(self, piece: bytes) -> Message:
        if self.held + len(piece) > self._limit:
            raise BodyTooLarge(f"A request body may have at most {self._limit} bytes, inflated.")
        self._budget.take(len(piece))
        self.held += len(piece)
        return {"type": "http.request", "body": piece, "more_body": True}


async def _step(decoder: "zlib._Decompress", chunk: bytes) -> bytes:
    """Inflate at most 256 KiB, on a thread, so that a body that grows a lot holds up nobody."""
    try:
        return await asyncio.to_thread(decoder.decompress, chunk, STEP_BYTES)
    except zlib.error:
        raise MalformedEncoding("The body is not what its Content-Encoding says.") from None
