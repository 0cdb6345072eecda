"""Threads that take urgent work first, without leaving the rest for ever."""

import asyncio
import math
import threading
from collections.abc import Callable, Hashable
from itertools import islice
from typing import TypeVar

from service.priorities import Priority, PriorityQueue
from service.stages import Job, Outcomes, Stages, Timed

T = TypeVar("T")

COHORT = 4
"""The most that a thread does in step. Two save half as much, and eight hardly more."""


class PriorityExecutor:
    """A fixed number of threads that take urgent work first, but routine work every fifth time.

    Of the threads that are idle the one that worked last goes first: its core still has the model
    and the tables of the decoder in its cache. For the same reason work that waits is done in
    cohorts where it can be: a stage of each, then the next stage of each.

    Source of the last: Larus and Parkes 2002, Using Cohort Scheduling to Enhance Server
    Performance.
    """

    def __init__(self, name: str, workers: int) -> None:
        """Start the threads.

        Args:
            name: What the threads are called.
            workers: How many there are, at least 1.
        """
        self._jobs = PriorityQueue[Job]()
        self._closed = False
        # For the two above and this: the locks that idle threads wait at, the last one on top.
        self._mutex = threading.Lock()
        self._idle: list[threading.Lock] = []
        self._workers = workers
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
        alone = object()
        return self._put(priority, _in_one_stage([work]), alone)

    def run_stages(
        self, priority: Priority, stages: Stages[T], cohort: Hashable
    ) -> asyncio.Future[Timed[T]]:
        """Have a thread do work in stages, in step with other work of the same cohort.

        When the caller is cancelled, the stages that have not begun are left out.

        Args:
            priority: Routine work lets urgent work go first before each of its stages.
            stages: Short ones, as the others wait for them.
            cohort: Equal for work that takes about as long and needs the same code and data.

        Returns:
            What to await; it raises whatever a stage raises.
        """
        return self._put(priority, stages, cohort)

    def close(self) -> None:
        """Finish the work that is queued, then stop the threads."""
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
        for lock in idle:
            lock.release()
        for thread in self._threads:
            thread.join()

    def _put(
        self, priority: Priority, stages: Stages[T], cohort: Hashable
    ) -> asyncio.Future[Timed[T]]:
        # This is no coroutine, whose frame would be in the traceback of what the work raises: it
        # would keep the image for as long as the error.
        job = Job(priority, stages, cohort)
        future = job.future
        with self._mutex:
            self._jobs.put(priority, job)
            idle = self._idle.pop() if self._idle else None
        if idle is not None:
            idle.release()
        return future

    def _serve(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        while cohort := self._next(bell):
            while cohort:
                # What is done, or cancelled, is let go of at once, and with it its image.
                cohort = self._round(cohort)

    def _next(self, bell: threading.Lock) -> list[Job]:
        """Wait for work; none where there will be no more."""
        while True:
            with self._mutex:
                cohort = self._cohort()
                if cohort or self._closed:
                    return cohort
                self._idle.append(bell)
            # Whoever brings work, or closes, takes the bell off the pile and releases it.
            bell.acquire()

    def _cohort(self) -> list[Job]:
        """The next work, and what can be done in step with it, up to this thread's share."""
        first = self._jobs.take()
        if first is None:
            return []
        most = min(COHORT, math.ceil((len(self._jobs) + 1) / self._workers))
        others = iter(lambda: self._jobs.take_if(first.priority, first.goes_with), None)
        return [first, *islice(others, most - 1)]

    def _round(self, cohort: list[Job]) -> list[Job]:
        """Do a stage of each job; those that have another one."""
        left = []
        with Outcomes() as outcomes:
            for job in cohort:
                if job.priority > Priority.STAT and (urgent := self._urgent()) is not None:
                    outcomes.hand_over()
                    while urgent.advance(outcomes):
                        pass
                if job.advance(outcomes):
                    left.append(job)
        return left

    def _urgent(self) -> Job | None:
        if not self._jobs.waiting(Priority.STAT):
            return None
        with self._mutex:
            return self._jobs.take_if(Priority.STAT)


def _in_one_stage(box: list[Callable[[], T]]) -> Stages[T]:
    """Work that is done at a stretch. Its frame, which an error holds, does not hold the work."""
    return box.pop()()
    yield
