from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from service import batch_plan
from service.batch_plan import SINGLE_IMAGES, BatchPlan, measure_plan
from service.session import ModelOutput
from tests.bundles import make_manifest

MANIFEST = make_manifest("sha256:" + 64 * "0")


class PacedSession:
    """Takes as long, by a clock of its own, as it is told for each batch size."""

    provider = "CPUExecutionProvider"

    def __init__(self, seconds: Callable[[int], float]) -> None:
        self.now = 0.0
        self.sizes: list[int] = []
        self._seconds = seconds

    def run(
        self,
        images: NDArray[np.uint8],
        *,
        activation_map: bool = False,  # noqa: ARG002 - as the protocol has it
    ) -> ModelOutput:
        self.sizes.append(len(images))
        self.now += self._seconds(len(images))
        return ModelOutput(np.zeros((len(images), 2), np.float32), None)


def plan_for(session: PacedSession) -> BatchPlan:
    return measure_plan(session, MANIFEST, clock=lambda: session.now)


def test_a_model_that_gains_nothing_from_batches_runs_single_images_and_never_waits() -> None:
    session = PacedSession(lambda size: 0.002 * size)

    assert plan_for(session) == SINGLE_IMAGES
    assert max(session.sizes) == 2


def test_a_model_that_runs_any_batch_in_the_same_time_runs_the_largest() -> None:
    plan = plan_for(PacedSession(lambda _size: 0.004))

    assert plan.sizes == (1, 2, 4, 8, 16, 32)
    assert plan.max_delay_s == pytest.approx(0.004)


def test_batches_stop_growing_where_a_larger_one_saves_less_than_a_fifth() -> None:
    plan = plan_for(PacedSession(lambda size: 0.004 if size <= 4 else 0.001 * size))

    assert plan.sizes == (1, 2, 4)


class InterruptedSession:
    """Takes half a millisecond of a CPU for any batch, and is kept from it for the more images."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.thread_s = self.wall_s = 0.0

    def run(
        self,
        images: NDArray[np.uint8],
        *,
        activation_map: bool = False,  # noqa: ARG002 - as the protocol has it
    ) -> ModelOutput:
        self.thread_s += 0.0005
        self.wall_s += 0.0005 + 0.001 * len(images)
        return ModelOutput(np.zeros((len(images), 2), np.float32), None)


def plan_by_the_right_clock(provider: str, monkeypatch: pytest.MonkeyPatch) -> BatchPlan:
    session = InterruptedSession(provider)
    clocks = SimpleNamespace(
        thread_time=lambda: session.thread_s, perf_counter=lambda: session.wall_s
    )
    monkeypatch.setattr(batch_plan, "time", clocks)
    return measure_plan(session, MANIFEST)


def test_on_a_cpu_the_time_that_other_work_takes_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert plan_by_the_right_clock("CPUExecutionProvider", monkeypatch).largest == 32


def test_on_an_accelerator_the_time_that_the_thread_waits_for_it_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert plan_by_the_right_clock("CUDAExecutionProvider", monkeypatch) == SINGLE_IMAGES


def test_every_size_in_use_was_run_before_with_and_without_the_map() -> None:
    session = PacedSession(lambda _size: 0.004)

    plan = plan_for(session)

    assert {size: session.sizes.count(size) for size in plan.sizes} == dict.fromkeys(plan.sizes, 4)


def test_a_slow_model_is_not_measured_for_long() -> None:
    session = PacedSession(lambda _size: 1.0)

    assert plan_for(session) == SINGLE_IMAGES
    assert session.sizes == [1, 1]


@pytest.mark.parametrize(("images", "padded"), [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8)])
def test_a_batch_is_padded_to_the_next_size(images: int, padded: int) -> None:
    assert BatchPlan((1, 2, 4, 8), 0.001).padded(images) == padded
