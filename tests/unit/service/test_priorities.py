import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import pytest

from service.domain import TURNS, Priority
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


@asynccontextmanager
async def at_work(threads: PriorityThreads, priority: Priority = ROUTINE) -> AsyncIterator[None]:
    """Keep the thread at work, so that what comes meanwhile waits."""
    started, go = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go.wait()

    done = threads.run(priority, work)
    await asyncio.to_thread(started.wait)
    yield
    go.set()
    await done


@contextmanager
def without_the_garbage_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


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


async def test_routine_work_is_not_left_for_ever(threads: PriorityThreads) -> None:
    order = list[str]()
    async with at_work(threads, STAT):
        jobs = [threads.run(STAT, partial(order.append, "stat")) for _ in range(20)]
        jobs.append(threads.run(ROUTINE, partial(order.append, "routine")))
    await asyncio.gather(*jobs)

    assert order.index("routine") < TURNS


async def test_cancelled_work_is_not_done_and_lets_go_of_its_image_at_once(
    threads: PriorityThreads,
) -> None:
    done, images = list[Image](), [Image()]
    seen = weakref.ref(images[0])
    async with at_work(threads):
        with without_the_garbage_collector():
            threads.run(ROUTINE, partial(done.append, images.pop())).cancel()
            await asyncio.sleep(0)
            is_kept = seen() is not None

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
