import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from service.domain import TURNS, Priority, Timed
from service.priorities import PriorityThreads

pytestmark = pytest.mark.anyio
ROUTINE, STAT = Priority.ROUTINE, Priority.STAT


@pytest.fixture
def threads() -> Iterator[PriorityThreads]:
    """One thread."""
    made = PriorityThreads(1)
    yield made
    made.close()


class Image:
    """Something whose end can be seen."""


class Hold:
    """Work that goes on until it is let go, so that what comes behind it waits."""

    def __init__(self, threads: PriorityThreads, priority: Priority = ROUTINE) -> None:
        self._started, self._go = threading.Event(), threading.Event()
        self._done = threads.run(priority, self._work)

    def _work(self) -> None:
        self._started.set()
        self._go.wait()

    async def begun(self) -> None:
        await asyncio.to_thread(self._started.wait)

    async def let_go(self, *others: asyncio.Future[Timed[None]]) -> None:
        self._go.set()
        await asyncio.gather(self._done, *others)


@contextmanager
def without_the_garbage_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def test_work_is_done_on_a_thread_of_its_own_and_timed(threads: PriorityThreads) -> None:
    def work() -> str:
        time.sleep(0.02)
        return threading.current_thread().name

    timed = await threads.run(ROUTINE, work)

    assert timed.value == "image_0"
    assert timed.ran_s >= 0.02
    assert timed.waited_s >= 0


@pytest.mark.parametrize("error", [MemoryError, SystemExit])
async def test_whatever_the_work_raises_the_thread_goes_on(
    threads: PriorityThreads, error: type[BaseException]
) -> None:
    def work() -> None:
        raise error

    with pytest.raises(error):
        await asyncio.wait_for(threads.run(ROUTINE, work), 5)
    after = await threads.run(ROUTINE, lambda: threading.current_thread().name)

    assert after.value == "image_0"


async def test_urgent_work_goes_first_and_the_rest_in_order(threads: PriorityThreads) -> None:
    held, order = Hold(threads), list[str]()
    await held.begun()
    given = (("a", ROUTINE), ("b", ROUTINE), ("c", STAT), ("d", STAT))
    jobs = [threads.run(priority, partial(order.append, name)) for name, priority in given]
    await held.let_go(*jobs)

    assert order == ["c", "d", "a", "b"]


async def test_routine_work_is_not_left_for_ever(threads: PriorityThreads) -> None:
    held, order = Hold(threads, STAT), list[str]()
    await held.begun()
    jobs = [threads.run(STAT, partial(order.append, "stat")) for _ in range(20)]
    jobs.append(threads.run(ROUTINE, partial(order.append, "routine")))
    await held.let_go(*jobs)

    assert order.index("routine") < TURNS


async def test_cancelled_work_is_not_done_and_lets_go_of_its_image_at_once(
    threads: PriorityThreads,
) -> None:
    held, done, images = Hold(threads), list[Image](), [Image()]
    seen = weakref.ref(images[0])
    await held.begun()
    with without_the_garbage_collector():
        late = threads.run(ROUTINE, partial(done.append, images.pop()))
        late.cancel()
        await asyncio.sleep(0)
        is_kept = seen() is not None
    await held.let_go()

    assert not is_kept
    assert done == []


async def test_an_image_whose_work_failed_is_let_go_of_without_the_garbage_collector(
    threads: PriorityThreads,
) -> None:
    seen: list[weakref.ref[Image]] = []

    def work(image: Image) -> None:
        seen.append(weakref.ref(image))
        raise KeyError("gone")

    async def fails() -> None:
        image = Image()
        with pytest.raises(KeyError):
            await threads.run(ROUTINE, partial(work, image))

    with without_the_garbage_collector():
        await fails()
        await threads.run(ROUTINE, int)

        assert seen[0]() is None


async def test_many_threads_lose_no_work() -> None:
    threads = PriorityThreads(8)

    jobs = (threads.run(Priority(n % 2), partial(int, n)) for n in range(2000))
    values = [timed.value for timed in await asyncio.gather(*jobs)]
    threads.close()

    assert values == list(range(2000))
