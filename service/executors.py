"""Threads that take urgent work first, without leaving the rest for ever."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from service.priorities import Priority, PriorityQueue
from service.stages import Job, Outcomes, Stages, Timed

T = TypeVar("T")

COHORT = 4
"""The most that a thread does in step. Two save half as much, and eight hardly more."""
SLOW_S = 0.03
"""Work whose first stage takes longer is the last of its cohort: those before it wait for it."""


class PriorityExecutor:
    """A fixed number of threads that take urgent work first, but routine work every fifth time.

    Of the threads that are idle the one that worked last goes first: its core still has the model
    and the tables of the decoder in its cache. For the same reason routine work that waits is done
    in cohorts where it can be: a stage of each, then the next stage of each.

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
        while (first := self._next(bell)) is not None:
            cohort = self._begin(first)
            # Waiting for the next one must not keep this one's image.
            del first
            while cohort:
                cohort = self._round(cohort)

    def _next(self, bell: threading.Lock) -> Job | None:
        """Wait for work; None where there will be no more."""
        while True:
            with self._mutex:
                job = self._jobs.take()
                if job is not None or self._closed:
                    return job
                self._idle.append(bell)
            # Whoever brings work, or closes, takes the bell off the pile and releases it.
            bell.acquire()

    def _begin(self, first: Job) -> list[Job]:
        """Do the first stage of a job, and of those that go with it, as long as that is quick.

        Nothing is taken before its turn: what is left can be taken by another thread.
        """
        cohort: list[Job] = []
        share = math.ceil((1 + self._jobs.waiting(first.priority)) / self._workers)
        # Urgent work waits for nobody.
        most = 1 if first.priority is Priority.STAT else min(COHORT, share)
        job: Job | None = first
        while job is not None:
            slow_from = time.perf_counter() + SLOW_S
            with Outcomes() as outcomes:
                if self._step(job, outcomes):
                    cohort.append(job)
            slow = time.perf_counter() > slow_from
            most -= 1
            job = None if slow or not most else self._take_with(first)
        return cohort

    def _take_with(self, first: Job) -> Job | None:
        with self._mutex:
            return self._jobs.take_if(first.priority, first.goes_with)

    def _round(self, cohort: list[Job]) -> list[Job]:
        """Do a stage of each job; those that have another one."""
        with Outcomes() as outcomes:
            return [job for job in cohort if self._step(job, outcomes)]

    def _step(self, job: Job, outcomes: Outcomes) -> bool:
        """Do a stage of a job, behind what is more urgent; False where it was the last."""
        if job.priority is not Priority.STAT and self._jobs.waiting(Priority.STAT):
            self._do_urgent(outcomes)
        has_more = job.advance(outcomes)
        outcomes.hand_over_old()
        return has_more

    def _do_urgent(self, outcomes: Outcomes) -> None:
        outcomes.hand_over()
        with self._mutex:
            urgent = self._jobs.take_urgent()
        while urgent is not None and urgent.advance(outcomes):
            pass
        outcomes.hand_over()


def _in_one_stage(box: list[Callable[[], T]]) -> Stages[T]:
    """Work that is done at a stretch. Its frame, which an error holds, does not hold the work."""
    return box.pop()()
    yield
