import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest

from service.decompression import STEP_BYTES, decompressed
from service.errors import BodyTooLarge, MalformedInference, TooManyUploads, UnsupportedEncoding
from service.limits import ReceiveBudget

TEXT = bytes(range(256)) * 4096
LIMIT = 2 * len(TEXT)


async def in_pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def undo(
    data: bytes, encoding: str, budget: ReceiveBudget | None = None, limit: int = LIMIT
) -> list[bytes]:
    async def read() -> list[bytes]:
        with decompressed(in_pieces(data), encoding, limit, budget or ReceiveBudget(LIMIT)) as body:
            return [piece async for piece in body]

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(TEXT)),
        (" GZIP ", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("identity", TEXT),
        ("", TEXT),
    ],
)
def test_a_body_is_given_as_it_was(encoding: str, data: bytes) -> None:
    assert b"".join(undo(data, encoding)) == TEXT


def test_a_body_that_grows_a_thousandfold_grows_in_steps() -> None:
    nothing = bytes(8 * STEP_BYTES)

    pieces = undo(gzip.compress(nothing), "gzip", ReceiveBudget(len(nothing)), len(nothing))

    assert b"".join(pieces) == nothing
    assert max(map(len, pieces)) == STEP_BYTES


def test_a_body_is_bounded_after_it_has_grown() -> None:
    with pytest.raises(BodyTooLarge, match="decompressed too"):
        undo(gzip.compress(bytes(LIMIT + 1)), "gzip")


def test_what_a_body_grows_to_is_of_the_common_budget_until_it_is_done() -> None:
    budget = ReceiveBudget(len(TEXT) - 1)

    with pytest.raises(TooManyUploads):
        undo(gzip.compress(TEXT), "gzip", budget)

    assert budget.held == 0
    enough = gzip.compress(TEXT[:-1])
    undo(enough, "gzip", budget)
    assert budget.held == 0


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
def test_another_encoding_is_refused_before_the_body_is_read(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip, deflate"):
        undo(b"", encoding)


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        b"",
        gzip.compress(TEXT)[:-1],
        gzip.compress(TEXT) + b"more",
        gzip.compress(TEXT) + 5000 * b"more",
        zlib.compress(TEXT),
    ],
    ids=["plain", "empty", "truncated", "longer", "much longer", "another"],
)
def test_a_body_of_another_encoding_than_it_says_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedInference, match=r"Content-Encoding says|breaks off"):
        undo(data, "gzip")
