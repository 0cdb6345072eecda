"""Threads that take urgent work first, without leaving the rest for ever."""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from typing import Any, Generic, TypeVar

T = TypeVar("T")

TURNS = 5
"""Of so many turns the last is not the most urgent work's, so that routine work never starves."""


class Priority(IntEnum):
    """Who goes first: stat images before routine ones, each in the order of their arrival."""

    STAT = 0
    ROUTINE = 1


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """What a piece of work gave, and how long it waited and ran, in seconds."""

    value: T
    waited_s: float
    ran_s: float


class PriorityQueue(Generic[T]):
    """What waits, urgent items first, but every fifth turn the other way round."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._items: tuple[deque[T], ...] = tuple(deque() for _ in Priority)
        self._turns = count(1)

    def __len__(self) -> int:
        """How many items wait."""
        return sum(map(len, self._items))

    def put(self, priority: Priority, item: T) -> None:
        """Have an item wait behind the others of its priority."""
        self._items[priority].append(item)

    def put_back(self, priority: Priority, item: T) -> None:
        """Have an item that was taken wait before the others of its priority."""
        self._items[priority].appendleft(item)

    def take(self) -> T | None:
        """The next item; None where nothing waits."""
        fair = next(self._turns) % TURNS == 0
        for items in reversed(self._items) if fair else self._items:
            if items:
                return items.popleft()
        return None


class PriorityExecutor:
    """A fixed number of threads that take urgent work first, but routine work every fifth time.

    Of the threads that are idle the one that worked last goes first: its core still has the model
    and the tables of the decoder in its cache.
    """

    def __init__(self, name: str, workers: int) -> None:
        """Start the threads.

        Args:
            name: What the threads are called.
            workers: How many there are, at least 1.
        """
        self._jobs = PriorityQueue[_Job]()
        self._closed = False
        # For the two above and this: the locks that idle threads wait at, the last one on top.
        self._mutex = threading.Lock()
        self._idle: list[threading.Lock] = []
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """How many pieces of work wait for a thread."""
        return len(self._jobs)

    @property
    def idle(self) -> int:
        """How many threads have nothing to do."""
        return len(self._idle)

    def run(self, priority: Priority, work: Callable[[], T]) -> asyncio.Future[Timed[T]]:
        """Have a thread do the work; when the caller is cancelled first, nobody does it.

        Returns:
            What to await; it raises whatever the work raises.
        """
        # This is no coroutine, whose frame would be in the traceback of what the work raises: it
        # would keep the image for as long as the error.
        job = _Job(work, asyncio.get_running_loop())
        with self._mutex:
            self._jobs.put(priority, job)
            idle = self._idle.pop() if self._idle else None
        if idle is not None:
            idle.release()
        return job.future

    def close(self) -> None:
        """Finish the work that is queued, then stop the threads."""
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
        for lock in idle:
            lock.release()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        while (job := self._next(bell)) is not None:
            _execute(job)
            # Waiting for the next one must not keep this one's image.
            del job

    def _next(self, bell: threading.Lock) -> "_Job | None":
        """Wait for work; None where there will be no more."""
        while True:
            with self._mutex:
                job = self._jobs.take()
                if job is not None or self._closed:
                    return job
                self._idle.append(bell)
            # Whoever brings work, or closes, takes the bell off the pile and releases it.
            bell.acquire()


class _Job:
    """Work to do. Its box is emptied by who takes it or cancels it, whichever comes first.

    It hands its outcome to the event loop itself: ``concurrent.futures`` would do so with two
    futures and a lock, for three times as long.
    """

    __slots__ = ("box", "future", "loop", "submitted")

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.box = box = [work]
        self.loop = loop
        self.future: asyncio.Future[Timed[Any]] = loop.create_future()
        self.submitted = time.perf_counter()
        # Cancelled work lets go of its image at once, long before a thread comes by.
        self.future.add_done_callback(lambda _: box.clear())

    def settle(self, value: Timed[Any] | None, error: BaseException | None = None) -> None:
        """Have the event loop hand over the outcome; nobody wants it where the loop is gone."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(_hand_over, self.future, value, error)


def _hand_over(
    future: asyncio.Future[Timed[Any]], value: Timed[Any] | None, error: BaseException | None
) -> None:
    if future.done():
        # It was cancelled while the work ran.
        return
    if error is not None:
        future.set_exception(error)
    elif value is not None:
        future.set_result(value)


def _execute(job: _Job) -> None:
    try:
        work = job.box.pop()
    except IndexError:
        return
    started = time.perf_counter()
    try:
        value = work()
        done = Timed(value, started - job.submitted, time.perf_counter() - started)
    except StopIteration as error:
        # An asyncio future takes anything but this, and would never be done.
        stopped = RuntimeError("The work raised StopIteration.").with_traceback(error.__traceback__)
        job.settle(None, stopped)
        # The traceback holds this frame, and the frame the job: a cycle that only the garbage
        # collector could end. The work holds the image.
        del job, work, stopped
    except BaseException as error:  # noqa: BLE001 - it is handed over, whatever it is
        job.settle(None, error)
        del job, work
    else:
        job.settle(done)
