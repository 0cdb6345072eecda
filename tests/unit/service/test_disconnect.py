import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message

from service.errors import ProblemType
from service.limits import cancelled_on_disconnect
from tests.refusals import refused

Receive = Callable[[], Awaitable[Message]]


def receiving(*messages: Message) -> Receive:
    queue = list(messages)

    async def receive() -> Message:
        if queue:
            return queue.pop(0)
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    return receive


def test_work_ends_when_the_client_goes_away() -> None:
    async def scenario() -> None:
        async with cancelled_on_disconnect(
            receiving({"type": "http.request"}, {"type": "http.disconnect"})
        ):
            await asyncio.sleep(60)

    with refused(ProblemType.CLIENT_DISCONNECTED):
        asyncio.run(scenario())


def test_work_goes_on_while_the_client_waits() -> None:
    async def scenario() -> str:
        async with cancelled_on_disconnect(receiving()):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        return "done"

    assert asyncio.run(scenario()) == "done"


def test_a_cancellation_by_the_server_stays_one() -> None:
    async def scenario() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    async def work() -> None:
        async with cancelled_on_disconnect(receiving()):
            await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scenario())


def test_a_deadline_within_stays_a_deadline() -> None:
    async def scenario() -> None:
        async with cancelled_on_disconnect(receiving()), asyncio.timeout(0.01):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        asyncio.run(scenario())
