"""Inflates request bodies as they arrive, within the limits of every body. Plain ASGI.

Source: RFC 9110 section 8.4.1 (gzip is RFC 1952, deflate is RFC 1950).
"""

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ProblemType, ServiceError
from service.headers import header_of
from service.limits import ReceiveBudget

# As zlib's inflateInit2 takes them: 15 for its own format, 16 more for gzip's.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
STEP_BYTES = 256 * 1024
# Each costs a copy of what follows it; some programs write one for each 64 KB.
MAX_MEMBERS = 4096


class Decompression:
    """Gives the routes the body as it was before its Content-Encoding.

    It belongs inside what counts and times the bytes that arrive.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, budget: ReceiveBudget) -> None:
        """Wrap an application; ``budget`` counts inflated bytes until the request is answered."""
        self._app = app
        self._limit = max_body_bytes
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on.

        Raises:
            ServiceError: Out of ``receive``, to whoever reads the body; so are the others. The body
                grows too large. All bodies together grow too large. The body is not in its
                encoding, or breaks off.
        """
        header = (header_of(scope, b"content-encoding") or "") if scope["type"] == "http" else ""
        encoding = header.strip().lower()
        if encoding in ("", "identity"):
            await self._app(scope, receive, send)
            return
        held = 0
        pieces = _inflate(receive, encoding)

        async def inflated() -> Message:
            nonlocal held
            # Where the body is over, what comes now is the client's end.
            message = await anext(pieces, None) or await receive()
            count = len(message.get("body", b""))
            if held + count > self._limit:
                raise ServiceError(
                    ProblemType.BODY_TOO_LARGE,
                    f"A request body may have at most {self._limit} bytes, inflated.",
                )
            self._budget.take(count)
            held += count
            return message

        try:
            await self._app(scope, inflated, send)
        finally:
            self._budget.give_back(held)


async def _inflate(receive: Receive, encoding: str) -> AsyncIterator[Message]:
    if encoding not in _WINDOW_BITS:
        raise ServiceError(
            ProblemType.UNSUPPORTED_ENCODING, "The Content-Encoding must be gzip, deflate, or none."
        )
    decoder, members = zlib.decompressobj(_WINDOW_BITS[encoding]), 1
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            yield message
            continue
        more, chunk = message.get("more_body", False), message.get("body", b"")
        while chunk:
            if decoder.eof:
                members += 1
                decoder = _begin_member(encoding, members)
            try:
                # On a thread, so that a body that grows a lot holds up nobody.
                piece = await asyncio.to_thread(decoder.decompress, chunk, STEP_BYTES)
            except zlib.error:
                raise ServiceError(
                    ProblemType.MALFORMED_ENCODING,
                    "The body is not what its Content-Encoding says.",
                ) from None
            chunk = decoder.unused_data or decoder.unconsumed_tail
            yield {"type": "http.request", "body": piece, "more_body": True}
    if not decoder.eof:
        raise ServiceError(
            ProblemType.MALFORMED_ENCODING, "The compressed body breaks off before its end."
        )
    yield {"type": "http.request", "body": b"", "more_body": False}


def _begin_member(encoding: str, number: int) -> "zlib._Decompress":
    """Begin another member of a gzip body. Source: RFC 1952 section 2.2."""
    if encoding == "deflate" or number > MAX_MEMBERS:
        raise ServiceError(
            ProblemType.MALFORMED_ENCODING, "The compressed body goes on behind its own end."
        )
    return zlib.decompressobj(_WINDOW_BITS[encoding])
