"""Work in stages, which threads do in step."""

import asyncio
import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, TypeVar, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from service.executors import COHORT, SLOW_S, PriorityExecutor
from service.priorities import Priority
from service.stages import Stages, Timed, finish
from tests.unit.service.test_executors import Image, hold

T = TypeVar("T")


def in_stages(name: str, log: list[str], stages: int = 3) -> Stages[str]:
    for number in range(stages):
        log.append(f"{name}{number}")
        yield
    return name


async def behind_a_closed_door(
    executor: PriorityExecutor, begin: Callable[[], list[asyncio.Future[Timed[T]]]]
) -> list[Timed[T] | BaseException]:
    """Have work wait while the only thread is held up, then let all go."""
    started, go = threading.Event(), threading.Event()
    held = executor.run(Priority.ROUTINE, partial(hold, started, go))
    await asyncio.to_thread(started.wait)
    waiting = begin()
    go.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await held
    return results


def test_work_that_waits_is_done_in_step(executor: PriorityExecutor) -> None:
    log: list[str] = []

    def begin() -> list[asyncio.Future[Timed[str]]]:
        return [executor.run_stages(Priority.ROUTINE, in_stages(name, log), 1) for name in "abcdef"]

    done = asyncio.run(behind_a_closed_door(executor, begin))

    assert [each.value for each in done if isinstance(each, Timed)] == [*"abcdef"]
    first, rest = "abcdef"[:COHORT], "abcdef"[COHORT:]
    assert log == [
        f"{name}{stage}" for names in (first, rest) for stage in range(3) for name in names
    ]


def test_work_without_stages_is_in_step_with_nothing(executor: PriorityExecutor) -> None:
    log: list[str] = []

    def begin() -> list[asyncio.Future[Timed[object]]]:
        return [
            executor.run_stages(Priority.ROUTINE, in_stages("a", log), 1),
            executor.run(Priority.ROUTINE, partial(log.append, "alone")),
            executor.run_stages(Priority.ROUTINE, in_stages("b", log), 1),
        ]

    asyncio.run(behind_a_closed_door(executor, begin))

    assert log == ["a0", "a1", "a2", "alone", "b0", "b1", "b2"]


def test_a_cohort_leaves_the_other_threads_their_share() -> None:
    executor, log = PriorityExecutor("test", 2), list[str]()
    both = threading.Barrier(2)

    def meets(name: str) -> Stages[None]:
        # Only another thread can be the second one here.
        both.wait(5)
        log.append(name)
        return
        yield

    async def scenario() -> None:
        await asyncio.gather(*(executor.run_stages(Priority.ROUTINE, meets(n), 1) for n in "abcd"))

    try:
        asyncio.run(scenario())
    finally:
        executor.close()

    assert sorted(log) == [*"abcd"]


def test_urgent_work_goes_before_the_next_stage_of_a_routine_cohort(
    executor: PriorityExecutor,
) -> None:
    log: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []
    urgent: list[asyncio.Future[Timed[None]]] = []

    def interrupted() -> Stages[None]:
        log.append("a0")
        arrived = threading.Event()

        def arrive() -> None:
            urgent.append(executor.run(Priority.STAT, partial(log.append, "urgent")))
            arrived.set()

        loops[0].call_soon_threadsafe(arrive)
        arrived.wait(5)
        yield
        log.append("a1")

    async def scenario() -> None:
        loops.append(asyncio.get_running_loop())
        await executor.run_stages(Priority.ROUTINE, interrupted(), 1)
        await urgent[0]

    asyncio.run(scenario())

    assert log == ["a0", "urgent", "a1"]


def test_urgent_work_is_answered_at_once_and_not_with_the_cohort(
    executor: PriorityExecutor,
) -> None:
    seen: list[str] = []

    def slow(name: str) -> Stages[None]:
        time.sleep(0.02)
        yield
        time.sleep(0.02)
        seen.append(name)

    async def scenario() -> None:
        routine = [executor.run_stages(Priority.ROUTINE, slow(name), 1) for name in "abcd"]
        urgent = executor.run(Priority.STAT, partial(seen.append, "urgent"))
        urgent.add_done_callback(lambda _: seen.append("answered"))
        await asyncio.gather(urgent, *routine)

    asyncio.run(scenario())

    assert seen == ["urgent", "answered", "a", "b", "c", "d"]


def test_urgent_work_is_in_step_with_nothing(executor: PriorityExecutor) -> None:
    log: list[str] = []

    def begin() -> list[asyncio.Future[Timed[str]]]:
        return [executor.run_stages(Priority.STAT, in_stages(name, log), 1) for name in "ab"]

    asyncio.run(behind_a_closed_door(executor, begin))

    assert log == ["a0", "a1", "a2", "b0", "b1", "b2"]


def test_of_a_flood_of_urgent_work_routine_work_has_its_fifth(executor: PriorityExecutor) -> None:
    log: list[str] = []

    def begin() -> list[asyncio.Future[Timed[None]]]:
        return [
            executor.run(priority, partial(log.append, priority.name))
            for priority in (*[Priority.STAT] * 40, *[Priority.ROUTINE] * 5)
        ]

    asyncio.run(behind_a_closed_door(executor, begin))

    assert log[:25].count("ROUTINE") == 5


def test_a_slow_first_stage_is_the_last_of_its_cohort(executor: PriorityExecutor) -> None:
    log: list[str] = []

    def slow() -> Stages[str]:
        time.sleep(2 * SLOW_S)
        log.append("slow0")
        yield
        log.append("slow1")
        return "slow"

    def begin() -> list[asyncio.Future[Timed[str]]]:
        kinds = (in_stages("a", log, 2), slow(), in_stages("b", log, 2))
        return [executor.run_stages(Priority.ROUTINE, stages, 1) for stages in kinds]

    asyncio.run(behind_a_closed_door(executor, begin))

    assert log == ["a0", "slow0", "a1", "slow1", "b0", "b1"]


def test_what_ends_at_its_first_stage_waits_for_no_other(executor: PriorityExecutor) -> None:
    seen: list[str] = []

    def refused() -> Stages[None]:
        return
        yield

    def slow() -> Stages[None]:
        time.sleep(0.05)
        seen.append("slow")
        yield

    def begin() -> list[asyncio.Future[Timed[None]]]:
        first = executor.run_stages(Priority.ROUTINE, refused(), 1)
        first.add_done_callback(lambda _: seen.append("answered"))
        return [first, executor.run_stages(Priority.ROUTINE, slow(), 1)]

    asyncio.run(behind_a_closed_door(executor, begin))

    assert seen == ["answered", "slow"]


def test_an_error_in_one_of_a_cohort_leaves_the_others_alone(executor: PriorityExecutor) -> None:
    def fails() -> Stages[str]:
        yield
        raise KeyError("gone")

    def begin() -> list[asyncio.Future[Timed[str]]]:
        log: list[str] = []
        kinds = (in_stages("a", log), fails(), in_stages("c", log))
        return [executor.run_stages(Priority.ROUTINE, stages, 1) for stages in kinds]

    first, second, third = asyncio.run(behind_a_closed_door(executor, begin))

    assert isinstance(first, Timed)
    assert first.value == "a"
    assert isinstance(second, KeyError)
    assert isinstance(third, Timed)
    assert third.value == "c"


def test_cancelled_work_goes_no_further_than_its_stage(executor: PriorityExecutor) -> None:
    begun, go, later = threading.Event(), threading.Event(), list[str]()
    images = [Image()]
    seen = weakref.ref(images[0])

    def work(image: Image) -> Stages[Image]:
        hold(begun, go)
        yield
        later.append("went on")
        return image

    async def scenario() -> None:
        late = executor.run_stages(Priority.ROUTINE, work(images.pop()), 1)
        await asyncio.to_thread(begun.wait)
        late.cancel()
        await asyncio.sleep(0)
        go.set()
        await executor.run(Priority.ROUTINE, int)

    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()

    assert later == []
    assert seen() is None


def test_what_the_others_of_a_cohort_took_counts_as_waiting(executor: PriorityExecutor) -> None:
    def sleeps(seconds: float) -> Stages[None]:
        for _ in range(2):
            time.sleep(seconds)
            yield

    def begin() -> list[asyncio.Future[Timed[None]]]:
        return [executor.run_stages(Priority.ROUTINE, sleeps(s), 1) for s in (0.0, 0.05)]

    short, long = asyncio.run(behind_a_closed_door(executor, begin))

    assert isinstance(short, Timed)
    assert isinstance(long, Timed)
    assert short.ran_s < short.waited_s
    assert short.waited_s >= 0.05
    assert long.ran_s >= 0.1


class Kind(NamedTuple):
    """One piece of work: ``end`` is how it ends."""

    priority: Priority
    stages: int
    cohort: int | None
    end: Literal["returns", "fails", "is cancelled"]


KINDS = st.builds(
    Kind,
    st.sampled_from(Priority),
    st.integers(0, 4),
    st.sampled_from([None, 1, 2]),
    st.sampled_from(get_args(Kind.__annotations__["end"])),
)


@settings(max_examples=30, deadline=None)
@given(kinds=st.lists(KINDS, max_size=40), threads=st.integers(1, 3))
def test_no_work_is_lost_repeated_or_swapped(kinds: list[Kind], threads: int) -> None:
    executor, steps = PriorityExecutor("test", threads), Counter[int]()

    async def scenario() -> list[Timed[int] | BaseException]:
        futures = [begin(executor, kind, number, steps) for number, kind in enumerate(kinds)]
        return await asyncio.gather(*futures, return_exceptions=True)

    try:
        results = asyncio.run(scenario())
    finally:
        executor.close()

    for number, (kind, result) in enumerate(zip(kinds, results, strict=True)):
        assert end_of(result, number) == kind.end
        if kind.end == "is cancelled":
            assert steps[number] <= kind.stages
        else:
            assert steps[number] == kind.stages


def begin(
    executor: PriorityExecutor, kind: Kind, number: int, steps: Counter[int]
) -> asyncio.Future[Timed[int]]:
    stages = counted(kind, number, steps)
    if kind.cohort is None:
        future = executor.run(kind.priority, partial(finish, stages))
    else:
        future = executor.run_stages(kind.priority, stages, kind.cohort)
    if kind.end == "is cancelled":
        future.cancel()
    return future


def counted(kind: Kind, number: int, steps: Counter[int]) -> Stages[int]:
    for _ in range(kind.stages):
        steps[number] += 1
        yield
    if kind.end == "fails":
        raise KeyError(number)
    return number


def end_of(result: Timed[int] | BaseException, number: int) -> str:
    if isinstance(result, asyncio.CancelledError):
        return "is cancelled"
    if isinstance(result, KeyError):
        assert result.args == (number,)
        return "fails"
    assert isinstance(result, Timed)
    assert result.value == number
    return "returns"
