"""Work in stages, and how what comes of it gets from a thread to the event loop."""

import asyncio
import contextlib
import math
import time
from collections.abc import Generator, Hashable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, NamedTuple, Self, TypeAlias, TypeVar, cast

from service.priorities import Priority

T = TypeVar("T")

MOMENT_S = 0.01
"""So long what came of one piece of work may wait for what comes of the next."""

Stages: TypeAlias = Generator[None, None, T]
"""Work that can be put aside at each ``yield``; what it returns is what came of it."""


def finish(stages: Stages[T]) -> T:
    """Do all stages at a stretch."""
    while True:
        try:
            next(stages)
        except StopIteration as end:
            return cast("T", end.value)


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """What a piece of work gave, and how long it waited and ran, in seconds."""

    value: T
    waited_s: float
    ran_s: float


class Job:
    """Work to do. Its box is emptied by who cancels it: no further stage of it is begun."""

    __slots__ = ("box", "cohort", "future", "priority", "ran_s", "submitted")

    def __init__(self, priority: Priority, stages: Stages[Any], cohort: Hashable) -> None:
        self.priority = priority
        self.box = box = [stages]
        self.cohort = cohort
        self.future: asyncio.Future[Timed[Any]] = asyncio.get_running_loop().create_future()
        self.submitted = time.perf_counter()
        self.ran_s = 0.0
        # Cancelled work lets go of its image at once, long before a thread comes by.
        self.future.add_done_callback(lambda _: box.clear())

    def goes_with(self, other: "Job") -> bool:
        """Whether both can be done in step."""
        return self.cohort == other.cohort

    def advance(self, outcomes: "Outcomes") -> bool:
        """Do a stage; False where there is no further one."""
        try:
            (stages,) = self.box
        except ValueError:
            return False
        started = time.perf_counter()
        try:
            next(stages)
        except StopIteration as end:
            ended = time.perf_counter()
            ran_s = self.ran_s + ended - started
            timed = Timed(end.value, ended - self.submitted - ran_s, ran_s)
            outcomes.add(_Outcome(self.future, timed), started)
        except BaseException as error:  # noqa: BLE001 - it is handed over, whatever it is
            outcomes.add(_Outcome(self.future, None, error), started)
        else:
            self.ran_s += time.perf_counter() - started
            return True
        # An error's traceback holds the frames that hold this job. Were the future, which has the
        # error, still here, only the garbage collector could end that cycle around the image.
        del self.future
        return False


class Outcomes:
    """What has come of work, on its way to the event loop.

    What ends within a few milliseconds goes there together: the loop, which is mostly on the same
    core, is woken once for all of it. ``concurrent.futures`` would do so for each piece, with two
    futures and a lock.
    """

    def __init__(self) -> None:
        self._outcomes: list[_Outcome] = []
        self._due = math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hand_over()

    def add(self, outcome: "_Outcome", began: float) -> None:
        """Take what came of a stage, and when that began: where it took long, the next may too."""
        self._outcomes.append(outcome)
        self._due = min(self._due, began + MOMENT_S)

    def hand_over_old(self) -> None:
        """Hand all over where one of them has waited long enough."""
        if self._outcomes and time.perf_counter() > self._due:
            self.hand_over()

    def hand_over(self) -> None:
        """Have the event loop hand them over; nobody wants them where it is gone."""
        outcomes, self._outcomes, self._due = self._outcomes, [], math.inf
        for loop, of_loop in groupby(outcomes, lambda outcome: outcome.future.get_loop()):
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_hand_over, list(of_loop))


class _Outcome(NamedTuple):
    """What came of work: a value or an error."""

    future: asyncio.Future[Timed[Any]]
    value: Timed[Any] | None
    error: BaseException | None = None


def _hand_over(outcomes: list[_Outcome]) -> None:
    for future, value, error in outcomes:
        if future.done():
            # It was cancelled while the work ran.
            continue
        if error is not None:
            future.set_exception(error)
        elif value is not None:
            future.set_result(value)
