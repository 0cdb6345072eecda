import asyncio
import gzip
import zlib

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.errors import ProblemType
from service.limits import STEP_BYTES, BodyLimit, ReceiveBudget
from tests.refusals import refused

TEXT = bytes(range(256)) * 4096
LIMIT = 2 * len(TEXT)
GONE = {"type": "http.disconnect"}


def encoded(encoding: str) -> Scope:
    headers = [(b"content-encoding", encoding.encode()), (b"transfer-encoding", b"chunked")]
    return {"type": "http", "headers": headers}


def pieces_of(
    data: bytes, encoding: str, budget: ReceiveBudget | None = None, limit: int = LIMIT
) -> list[bytes]:
    """What a route receives of a body that arrives a thousand bytes at a time."""
    starts = range(0, max(len(data), 1), 1000)
    messages: list[Message] = [
        {"type": "http.request", "body": data[at : at + 1000], "more_body": at != starts[-1]}
        for at in starts
    ]
    messages.append(GONE)
    pieces = []

    async def route(_scope: Scope, receive: Receive, _send: Send) -> None:
        more = True
        while more:
            message = await receive()
            pieces.append(message["body"])
            more = message["more_body"]
        assert await receive() == GONE

    async def receive() -> Message:
        return messages.pop(0)

    async def send(_: Message) -> None:
        raise AssertionError

    app = BodyLimit(route, limit, budget or ReceiveBudget(2 * LIMIT), 5)
    asyncio.run(app(encoded(encoding), receive, send))
    return pieces


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)),
        (" GZIP ", gzip.compress(TEXT, mtime=0)),
        ("gzip", gzip.compress(TEXT[:700]) + gzip.compress(b"") + gzip.compress(TEXT[700:])),
        ("x-gzip", gzip.compress(TEXT, mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("identity", TEXT),
        ("", TEXT),
    ],
)
def test_a_route_gets_the_body_as_it_was_before_its_encoding(encoding: str, data: bytes) -> None:
    assert b"".join(pieces_of(data, encoding)) == TEXT


def test_a_body_that_grows_a_thousandfold_grows_in_steps() -> None:
    nothing = bytes(8 * STEP_BYTES)

    pieces = pieces_of(
        gzip.compress(nothing), "gzip", ReceiveBudget(2 * len(nothing)), len(nothing)
    )

    assert b"".join(pieces) == nothing
    assert max(map(len, pieces)) == STEP_BYTES


def test_inflated_bytes_count_for_the_limit_of_a_body() -> None:
    with refused(ProblemType.BODY_TOO_LARGE, match="inflated"):
        pieces_of(gzip.compress(bytes(LIMIT + 1)), "gzip")


def test_inflated_bytes_count_for_the_common_budget_until_the_request_is_done() -> None:
    body = gzip.compress(TEXT)
    budget = ReceiveBudget(len(body) + len(TEXT))

    pieces_of(body, "gzip", budget)
    budget.take(1)
    with refused(ProblemType.TOO_MANY_UPLOADS):
        pieces_of(body, "gzip", budget)
    budget.give_back(1)

    assert budget.held == 0


def test_a_client_that_goes_away_in_the_middle_of_a_body_is_noticed() -> None:
    piece = {"type": "http.request", "body": gzip.compress(TEXT)[:1000], "more_body": True}
    messages: list[Message] = [piece, GONE]
    received: list[str] = []

    async def route(_scope: Scope, receive: Receive, _send: Send) -> None:
        while GONE["type"] not in received:
            received.append((await receive())["type"])

    async def receive() -> Message:
        return messages.pop(0)

    async def send(_: Message) -> None:
        raise AssertionError

    asyncio.run(BodyLimit(route, LIMIT, ReceiveBudget(LIMIT), 5)(encoded("gzip"), receive, send))

    assert received == ["http.request", "http.disconnect"]


@pytest.mark.parametrize(
    ("encoding", "data", "problem"),
    [
        ("br", TEXT, ProblemType.UNSUPPORTED_ENCODING),
        ("gzip, gzip", gzip.compress(gzip.compress(TEXT)), ProblemType.UNSUPPORTED_ENCODING),
        ("gzip", TEXT, ProblemType.MALFORMED_ENCODING),
        ("gzip", b"", ProblemType.MALFORMED_ENCODING),
        ("gzip", gzip.compress(TEXT)[:-1], ProblemType.MALFORMED_ENCODING),
        ("gzip", gzip.compress(TEXT) + b"more", ProblemType.MALFORMED_ENCODING),
        ("gzip", gzip.compress(TEXT) + 5000 * b"more", ProblemType.MALFORMED_ENCODING),
        ("gzip", zlib.compress(TEXT), ProblemType.MALFORMED_ENCODING),
    ],
    ids=["br", "twice", "plain", "empty", "truncated", "longer", "much longer", "another"],
)
def test_a_body_in_another_encoding_than_its_header_says_is_refused(
    encoding: str, data: bytes, problem: ProblemType
) -> None:
    with refused(problem):
        pieces_of(data, encoding)
