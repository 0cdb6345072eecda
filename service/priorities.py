"""Threads that run what waits, urgent work first; routine work never starves."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any, TypeVar

from service.domain import TURNS, Priority, Timed

T = TypeVar("T")
_Work = tuple[asyncio.Future[Timed[Any]], list[Callable[[], Any]], float]


class PriorityThreads:
    """A thread pool whose next piece of work is chosen when a thread is free."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "image")
        self._waiting: tuple[deque[_Work], ...] = tuple(deque() for _ in Priority)
        self._turns = count(1)

    @property
    def depth(self) -> int:
        """How many pieces of work wait."""
        return sum(map(len, self._waiting))

    def run(self, priority: Priority, call: Callable[[], T]) -> asyncio.Future[Timed[T]]:
        """Run a call on a thread; what is cancelled before its turn never runs."""
        future: asyncio.Future[Timed[T]] = asyncio.get_running_loop().create_future()
        box = [call]
        # What is cancelled lets go of its image now, and not when its turn comes.
        future.add_done_callback(lambda _: box.clear())
        self._waiting[priority].append((future, box, time.perf_counter()))
        # Each piece of work buys one turn, which goes to whoever is first when it comes.
        self._pool.submit(self._take_turn)
        return future

    def close(self) -> None:
        """Finish what waits, then stop the threads."""
        self._pool.shutdown()

    def _take_turn(self) -> None:
        urgent, routine = self._waiting
        first, second = (routine, urgent) if next(self._turns) % TURNS == 0 else (urgent, routine)
        try:
            future, box, submitted = first.popleft()
        except IndexError:
            # Threads take from two queues, but never more than was put into both.
            future, box, submitted = second.popleft()
        if future.cancelled():
            return
        started = time.perf_counter()
        try:
            value = box.pop()()
        except BaseException as error:  # noqa: BLE001 - handed over, whatever it is
            _hand_over(future, future.set_exception, error)
        else:
            done = Timed(value, started - submitted, time.perf_counter() - started)
            _hand_over(future, future.set_result, done)
        finally:
            # It has the error, whose traceback has this frame: a cycle around the image.
            del future


def _hand_over(
    future: asyncio.Future[Timed[Any]], end: Callable[[Any], None], outcome: object
) -> None:
    """End a future in its own loop, unless it was cancelled meanwhile or its loop is closed."""

    def hand_over() -> None:
        if not future.done():
            end(outcome)

    with suppress(RuntimeError):
        future.get_loop().call_soon_threadsafe(hand_over)
