"""In which batches a model runs best on this machine: measured when it is loaded."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.manifest import ModelManifest
from service.session import CPU, InferenceSession

SIZES = (1, 2, 4, 8, 16, 32)
# A larger batch must save a fifth of the time of each image. Less would be lost again in waiting
# and in padding, and a busy machine's measurement may be wrong by as much.
LEAST_GAIN = 0.2
RUNS = 3
# A model of which that many seconds have been timed tries no larger batch: the service is to start.
PATIENCE_S = 0.25

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The batch sizes that a model runs in, and how long an image may wait for others.

    ``sizes`` rise from 1; each was run once already, so that no request pays for a first run.
    ``max_delay_s`` is 0 where only single images are run.
    """

    sizes: tuple[int, ...] = (1,)
    max_delay_s: float = 0.0

    @property
    def batches(self) -> bool:
        """Whether images of several requests are run together."""
        return len(self.sizes) > 1

    @property
    def largest(self) -> int:
        """The most images of one run."""
        return self.sizes[-1]

    def padded(self, images: int) -> int:
        """The size that so many images are run in, at least as large.

        Args:
            images: 1 to ``largest``.
        """
        return next(size for size in self.sizes if size >= images)


SINGLE_IMAGES = BatchPlan()


def measure_plan(
    session: InferenceSession, manifest: ModelManifest, clock: Clock | None = None
) -> BatchPlan:
    """Warm a model, and find the batch sizes that are worth it here.

    Sizes are tried in rising order until one does not make an image a fifth cheaper than the size
    before: on a CPU that is mostly the first, whose larger tensors leave the cache. An image never
    waits longer than it takes to run one alone, when it could have been answered by itself.

    Args:
        session: Of the model.
        manifest: Of the model.
        clock: Where None, on a CPU that of the thread: a model that is loaded beside the traffic of
            others gets the plan that it would get alone. A GPU's work is on no thread's clock.

    Raises:
        InferenceFailed: The model did not run.
        DeviceLost: The accelerator does not run.
    """
    if clock is None:
        clock = time.thread_time if session.provider == CPU else time.perf_counter
    alone = cheapest = _seconds(session, manifest, 1, clock)
    sizes, spent = [1], alone
    for size in SIZES[1:]:
        if spent > PATIENCE_S:
            break
        seconds = _seconds(session, manifest, size, clock)
        if seconds / size > (1 - LEAST_GAIN) * cheapest:
            break
        cheapest = seconds / size
        sizes.append(size)
        spent += RUNS * seconds
    return BatchPlan(tuple(sizes), max_delay_s=alone if len(sizes) > 1 else 0.0)


def warm(session: InferenceSession, manifest: ModelManifest, plan: BatchPlan) -> None:
    """Run every size of a plan that was measured elsewhere, so that no request pays for it.

    Raises:
        InferenceFailed: The model did not run.
        DeviceLost: The accelerator does not run.
    """
    for size in plan.sizes:
        session.run(_blank(manifest, size), activation_map=True)
        session.run(_blank(manifest, size))


def _seconds(session: InferenceSession, manifest: ModelManifest, size: int, clock: Clock) -> float:
    """The shortest of some runs, after one that also sets up the activation map."""
    images = _blank(manifest, size)
    session.run(images, activation_map=True)
    times = [_timed(lambda: session.run(images), clock)]
    while len(times) < RUNS and sum(times) < PATIENCE_S:
        times.append(_timed(lambda: session.run(images), clock))
    return min(times)


def _blank(manifest: ModelManifest, size: int) -> NDArray[np.uint8]:
    return np.zeros((size, *manifest.preprocessing.size, 1), np.uint8)


def _timed(run: Callable[[], object], clock: Clock) -> float:
    started = clock()
    run()
    return clock() - started
