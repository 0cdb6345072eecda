import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import pytest

from service.domain import TURNS, Priority, Timed
from service.priorities import PriorityThreads

T = TypeVar("T")


@pytest.fixture
def threads() -> Iterator[PriorityThreads]:
    """One thread."""
    made = PriorityThreads(1)
    yield made
    made.close()


class Image:
    """Something whose end can be seen."""


def hold(started: threading.Event, go: threading.Event) -> None:
    started.set()
    go.wait()


async def awaited(threads: PriorityThreads, work: Callable[[], T]) -> Timed[T]:
    return await threads.run(Priority.ROUTINE, work)


def test_work_is_done_on_a_thread_of_its_own_and_timed(threads: PriorityThreads) -> None:
    def work() -> str:
        time.sleep(0.02)
        return threading.current_thread().name

    timed = asyncio.run(awaited(threads, work))

    assert timed.value == "image_0"
    assert timed.ran_s >= 0.02
    assert timed.waited_s >= 0


@pytest.mark.parametrize("error", [MemoryError, SystemExit])
def test_whatever_the_work_raises_the_thread_goes_on(
    threads: PriorityThreads, error: type[BaseException]
) -> None:
    def work() -> None:
        raise error

    async def scenario() -> str:
        with pytest.raises(error):
            await asyncio.wait_for(threads.run(Priority.ROUTINE, work), 5)
        name = await threads.run(Priority.ROUTINE, lambda: threading.current_thread().name)
        return name.value

    assert asyncio.run(scenario()) == "image_0"


def test_urgent_work_goes_first_and_the_rest_in_order(threads: PriorityThreads) -> None:
    started, go, order = threading.Event(), threading.Event(), list[str]()

    async def scenario() -> None:
        first = asyncio.ensure_future(threads.run(Priority.ROUTINE, partial(hold, started, go)))
        await asyncio.to_thread(started.wait)
        jobs = [
            asyncio.ensure_future(threads.run(priority, partial(order.append, name)))
            for name, priority in (
                ("a", Priority.ROUTINE),
                ("b", Priority.ROUTINE),
                ("c", Priority.STAT),
                ("d", Priority.STAT),
            )
        ]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(first, *jobs)

    asyncio.run(scenario())

    assert order == ["c", "d", "a", "b"]


def test_routine_work_is_not_left_for_ever(threads: PriorityThreads) -> None:
    started, go, order = threading.Event(), threading.Event(), list[str]()

    async def scenario() -> None:
        jobs = [threads.run(Priority.STAT, partial(hold, started, go))]
        await asyncio.to_thread(started.wait)
        jobs += [threads.run(Priority.STAT, partial(order.append, "stat")) for _ in range(20)]
        jobs.append(threads.run(Priority.ROUTINE, partial(order.append, "routine")))
        go.set()
        await asyncio.gather(*jobs)

    asyncio.run(scenario())

    assert order.index("routine") < TURNS


def test_cancelled_work_is_not_done_and_lets_go_of_its_image_at_once(
    threads: PriorityThreads,
) -> None:
    started, go, done = threading.Event(), threading.Event(), list[Image]()
    images = [Image()]
    seen = weakref.ref(images[0])

    async def scenario() -> bool:
        first = asyncio.ensure_future(threads.run(Priority.ROUTINE, partial(hold, started, go)))
        await asyncio.to_thread(started.wait)
        late = asyncio.ensure_future(
            threads.run(Priority.ROUTINE, partial(done.append, images.pop()))
        )
        await asyncio.sleep(0)
        late.cancel()
        await asyncio.sleep(0)
        held = seen() is not None
        go.set()
        await first
        return held

    gc.disable()
    try:
        held = asyncio.run(scenario())
    finally:
        gc.enable()

    assert not held
    assert done == []


def test_an_image_whose_work_failed_is_let_go_of_without_the_garbage_collector(
    threads: PriorityThreads,
) -> None:
    seen: list[weakref.ref[Image]] = []

    def work(image: Image) -> None:
        seen.append(weakref.ref(image))
        raise KeyError("gone")

    async def scenario() -> None:
        image = Image()
        with pytest.raises(KeyError):
            await threads.run(Priority.ROUTINE, partial(work, image))

    gc.disable()
    try:
        asyncio.run(scenario())
        asyncio.run(awaited(threads, int))
    finally:
        gc.enable()

    assert seen[0]() is None


def test_many_threads_lose_no_work() -> None:
    threads = PriorityThreads(8)

    async def scenario() -> list[int]:
        jobs = (threads.run(Priority(n % 2), partial(int, n)) for n in range(2000))
        return [timed.value for timed in await asyncio.gather(*jobs)]

    try:
        values = asyncio.run(scenario())
    finally:
        threads.close()

    assert values == list(range(2000))
