"""Inflates request bodies as they arrive, in steps.

Source: RFC 9110 section 8.4.1 (gzip is RFC 1952, deflate is RFC 1950).
"""

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.types import Message, Receive

from service.errors import ProblemType, ServiceError

# As zlib's inflateInit2 takes them: 15 for its own format, 16 more for gzip's.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
NO_ENCODING = ("", "identity")
STEP_BYTES = 256 * 1024
# Each costs a copy of what follows it; some programs write one for each 64 KB.
MAX_MEMBERS = 4096


async def inflate(receive: Receive, encoding: str) -> AsyncIterator[Message]:
    """Receive a body as it was before its Content-Encoding, in steps.

    Raises:
        ServiceError: The encoding is none of these, or the body is not in it, or breaks off.
    """
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
