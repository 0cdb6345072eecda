import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.errors import ProblemType
from service.limits import MIN_BYTES_PER_S, BodyLimit, ReceiveBudget
from tests.refusals import refused

SCOPE: Scope = {"type": "http", "headers": [(b"transfer-encoding", b"chunked")]}
PIECE = 1000


class Client:
    """Sends pieces of a body, each after a pause; after the last it waits for ever."""

    def __init__(self, *pieces: tuple[float, int], more: bool = True) -> None:
        self._pieces = list(pieces)
        self._more = more

    async def receive(self) -> Message:
        if not self._pieces:
            await asyncio.Event().wait()
        pause, size = self._pieces.pop(0)
        await asyncio.sleep(pause)
        more = bool(self._pieces) or self._more
        return {"type": "http.request", "body": b"\0" * size, "more_body": more}


class App:
    """Reads its body, then says how much of the budget is held, and waits for the client."""

    def __init__(self, budget: ReceiveBudget, patience_s: float = 0) -> None:
        self._budget = budget
        self._patience_s = patience_s
        self.held = 0

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["more_body"]:
            self.held = self._budget.held
        self.held = self._budget.held
        if self._patience_s:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(receive(), self._patience_s)


async def ignore(_message: Message) -> None: ...


def call(
    client: Client,
    budget: ReceiveBudget,
    *,
    timeout_s: float = 5,
    patience_s: float = 0,
) -> App:
    app = App(budget, patience_s)
    limited = BodyLimit(app, 100 * PIECE, budget, timeout_s)
    asyncio.run(limited(SCOPE, client.receive, ignore))
    return app


def test_a_body_is_held_until_its_request_ends() -> None:
    budget = ReceiveBudget(10 * PIECE)

    app = call(Client((0, PIECE), (0, PIECE), more=False), budget)

    assert app.held == 2 * PIECE
    assert budget.held == 0


def test_a_body_that_all_others_leave_no_room_for_is_shed() -> None:
    budget = ReceiveBudget(3 * PIECE)
    budget.take(2 * PIECE)

    with refused(ProblemType.TOO_MANY_UPLOADS) as shed:
        call(Client((0, PIECE), (0, 1)), budget)

    assert shed.value.retry_after_s >= 1  # type: ignore[operator]
    assert budget.held == 2 * PIECE


def test_a_body_that_is_slow_but_fast_enough_may_take_longer_than_the_timeout() -> None:
    pieces = [(0.05, int(0.2 * MIN_BYTES_PER_S))] * 8

    app = call(Client(*pieces, more=False), ReceiveBudget(1000 * PIECE), timeout_s=0.2)

    assert app.held == 8 * int(0.2 * MIN_BYTES_PER_S)


def test_once_the_body_is_there_the_client_may_wait_as_long_as_it_likes() -> None:
    call(Client((0, PIECE), more=False), ReceiveBudget(10 * PIECE), timeout_s=0.05, patience_s=0.3)
