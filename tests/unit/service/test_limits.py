"""What the service takes: images in flight, and bodies in size, pace and encoding."""

import asyncio
import gzip
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.errors import ProblemType
from service.limits import (
    MAX_RETRY_S,
    MIN_BYTES_PER_S,
    STEP_BYTES,
    Admission,
    BodyLimit,
    ReceiveBudget,
    cancelled_on_disconnect,
)
from tests.refusals import refused

TEXT = bytes(range(256)) * 4096
LIMIT = 2 * len(TEXT)
GONE: Message = {"type": "http.disconnect"}


class Clock:
    """Tells the time, which goes on where the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "at_once", "told"),
    [
        ([2.0] * 5, 1, 20),
        ([2.0] * 5, 4, 5),
        ([], 1, 1),
        ([1.0, 0.0], 1, 9),
        ([0.0001], 1, 1),
        ([10_000.0], 1, MAX_RETRY_S),
    ],
    ids=["measured", "four at once", "unmeasured", "learnt slowly", "short", "long"],
)
def test_the_time_to_wait_follows_from_the_rate_of_what_was_finished(
    seconds: list[float], at_once: int, told: int
) -> None:
    clock = Clock()
    admission = Admission(10, clock)
    for each in seconds:
        with admission.admit(at_once):
            clock.now += each
        # Neither idle time nor a request that was dropped counts.
        clock.now += 1000
        with pytest.raises(KeyError), admission.admit(1):
            raise KeyError

    with admission.admit(10), refused(ProblemType.QUEUE_FULL) as caught:
        admission.check()

    assert caught.value.retry_after_s == told


async def nothing_comes() -> Message:
    await asyncio.Event().wait()
    return GONE


@pytest.mark.parametrize("cancelled", [False, True])
def test_while_the_client_waits_work_goes_on_and_its_end_is_the_servers(*, cancelled: bool) -> None:
    async def work() -> str:
        async with cancelled_on_disconnect(nothing_comes):
            await asyncio.sleep(60 if cancelled else 0.01)
        await asyncio.sleep(0)
        return "done"

    async def scenario() -> str:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        if cancelled:
            task.cancel()
        return await task

    with pytest.raises(asyncio.CancelledError) if cancelled else nullcontext():
        assert asyncio.run(scenario()) == "done"


async def ignore(_message: Message) -> None: ...


def messages_of(data: bytes) -> Iterator[Message]:
    """A body that arrives a thousand bytes at a time, and the client's end."""
    starts = range(0, max(len(data), 1), 1000)
    for at in starts:
        body = data[at : at + 1000]
        yield {"type": "http.request", "body": body, "more_body": at != starts[-1]}
    yield GONE


def pieces_of(
    messages: Iterator[Message],
    encoding: str = "",
    budget: ReceiveBudget | None = None,
    *,
    limit: int = LIMIT,
    pause_s: float = 0,
    timeout_s: float = 5,
) -> list[bytes]:
    """What a route receives of a body, until its client is gone."""
    headers = [(b"content-encoding", encoding.encode()), (b"transfer-encoding", b"chunked")]
    pieces: list[bytes] = []

    async def route(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (message := await receive()) != GONE:
            pieces.append(message["body"])

    async def receive() -> Message:
        await asyncio.sleep(pause_s if pieces else 0)
        return next(messages)

    app = BodyLimit(route, limit, budget or ReceiveBudget(2 * LIMIT), timeout_s)
    asyncio.run(app({"type": "http", "headers": headers}, receive, ignore))
    return pieces


def test_a_body_that_is_slow_but_fast_enough_may_take_longer_than_the_timeout() -> None:
    piece = bytes(int(0.2 * MIN_BYTES_PER_S))
    messages = [{"type": "http.request", "body": piece, "more_body": left > 0} for left in range(8)]

    pieces = pieces_of(iter([*messages[::-1], GONE]), pause_s=0.05, timeout_s=0.2)

    assert pieces == [piece] * 8


def test_once_the_body_is_there_the_client_may_wait_as_long_as_it_likes() -> None:
    assert pieces_of(messages_of(b"image"), pause_s=0.3, timeout_s=0.05) == [b"image"]


def test_a_body_that_grows_a_thousandfold_grows_in_steps() -> None:
    nothing = bytes(8 * STEP_BYTES)
    budget = ReceiveBudget(2 * len(nothing))

    pieces = pieces_of(messages_of(gzip.compress(nothing)), "gzip", budget, limit=len(nothing))

    assert b"".join(pieces) == nothing
    assert max(map(len, pieces)) == STEP_BYTES


def test_inflated_bytes_count_for_the_common_budget_until_the_request_ends() -> None:
    body = gzip.compress(TEXT)
    budget = ReceiveBudget(len(body) + len(TEXT))

    fitting = pieces_of(messages_of(body), "gzip", budget)
    budget.take(1)
    with refused(ProblemType.TOO_MANY_UPLOADS):
        pieces_of(messages_of(body), "gzip", budget)

    assert b"".join(fitting) == TEXT
    assert budget.held == 1


def test_a_client_that_goes_away_in_the_middle_of_a_compressed_body_is_noticed() -> None:
    messages = [*messages_of(gzip.compress(TEXT)[:1500])]

    assert len(pieces_of(iter([messages[0], GONE]), "gzip")) == 1
