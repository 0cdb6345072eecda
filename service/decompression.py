"""Undoes the Content-Encoding of a body as it arrives, within the limits that every body has.

Source: RFC 9110 section 8.4.1 (gzip is RFC 1952, deflate is RFC 1950).
"""

import asyncio
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager

from service.errors import BodyTooLarge, MalformedInference, UnsupportedEncoding
from service.limits import ReceiveBudget

# As zlib's inflateInit2 takes them: 15 for its own format, 16 more for gzip's.
_WINDOW_BITS = {"gzip": 31, "deflate": 15}
STEP_BYTES = 256 * 1024


@contextmanager
def decompressed(
    body: AsyncIterable[bytes], encoding: str, max_body_bytes: int, budget: ReceiveBudget
) -> Iterator[AsyncIterable[bytes]]:
    """Give a body as it was before its encoding.

    Args:
        body: As it arrives.
        encoding: The Content-Encoding header, empty where there is none.
        max_body_bytes: The most that it may grow to.
        budget: Counts what it grows to, until the block ends, as it counts what arrives.

    Raises:
        UnsupportedEncoding: The encoding is none of gzip and deflate.
        BodyTooLarge: Out of what is given, as are the others: the body grows too large.
        TooManyUploads: All bodies together grow too large.
        MalformedInference: The body is not of that encoding, or breaks off.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        yield body
        return
    if name not in _WINDOW_BITS:
        raise UnsupportedEncoding("The Content-Encoding must be gzip, deflate, or none.")
    inflation = _Inflation(_WINDOW_BITS[name], max_body_bytes, budget)
    try:
        yield inflation.run(body)
    finally:
        budget.give_back(inflation.held)


class _Inflation:
    """One body that grows."""

    def __init__(self, window_bits: int, limit: int, budget: ReceiveBudget) -> None:
        self.held = 0
        self._decoder = zlib.decompressobj(window_bits)
        self._limit = limit
        self._budget = budget

    async def run(self, body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in body:
                async for piece in self._inflate(chunk):
                    yield piece
            yield self._hold(self._decoder.flush())
        except zlib.error:
            raise MalformedInference("The body is not what its Content-Encoding says.") from None
        if not self._decoder.eof or self._decoder.unused_data:
            raise MalformedInference(
                "The compressed body breaks off, or goes on behind its own end."
            )

    async def _inflate(self, chunk: bytes) -> AsyncIterator[bytes]:
        """In steps, each on a thread, so that a body that grows a thousandfold holds up nobody."""
        while chunk:
            piece = await asyncio.to_thread(self._decoder.decompress, chunk, STEP_BYTES)
            yield self._hold(piece)
            chunk = self._decoder.unconsumed_tail

    def _hold(self, piece: bytes) -> bytes:
        if self.held + len(piece) > self._limit:
            raise BodyTooLarge(
                f"A request body may have at most {self._limit} bytes, decompressed too."
            )
        self._budget.take(len(piece))
        self.held += len(piece)
        return piece
