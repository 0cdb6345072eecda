"""Puts images that wait for an accelerator into one run of a model."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from queue import SimpleQueue
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from service.errors import DeviceLost
from service.priorities import TURNS, Priority, Timed
from service.session import ModelOutput, ServedModel

SIZES = (1, 2, 4, 8, 16, 32)
"""The sizes that a batch is padded to: each was run once before, when the model was loaded."""

END_S = 5.0
"""How long a stop waits for the run that goes on."""

_Job = tuple[Future[list[ModelOutput | Exception]], Callable[[], list[ModelOutput | Exception]]]
Observe = Callable[[ServedModel, int], None]


@dataclass(eq=False, slots=True)
class _Item:
    """An image that waits."""

    model: ServedModel
    image: NDArray[np.uint8]
    priority: Priority
    arrival: int
    activation_map: bool
    submitted: float = field(default_factory=time.perf_counter)
    future: asyncio.Future[Timed[ModelOutput]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class MicroBatcher:
    """One queue for the images of all models, and one thread that runs them on the accelerator.

    A batch has images of one model alone, and runs as soon as the one before it has ended: what
    arrives meanwhile is the next. Urgent images go first, but every fifth batch is that of the
    image that waits longest. An image whose caller is gone is dropped before its batch. ``observe``
    is told the model and the number of images of every batch, before it runs.
    """

    def __init__(self, observe: Observe = lambda _model, _images: None) -> None:
        self._observe = observe
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # A daemon, so that a run which never ends does not hold up the end of the process.
        self._thread = Thread(target=_work, args=(self._jobs,), name="inference", daemon=True)
        self._thread.start()
        self._waiting: list[_Item] = []
        self._arrivals, self._turns = count(), count(1)
        self._runner: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """How many images wait for a batch."""
        return len(self._waiting)

    def run(
        self,
        model: ServedModel,
        image: NDArray[np.uint8],
        priority: Priority,
        *,
        activation_map: bool = False,
    ) -> asyncio.Future[Timed[ModelOutput]]:
        """Have an image run in a batch, uint8 (1, height, width, 1), of the model's size.

        The future gives what the model says of this image alone, or InferenceFailed or DeviceLost.
        """
        item = _Item(model, image, priority, next(self._arrivals), activation_map)
        self._waiting.append(item)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.get_running_loop().create_task(self._run_all())
        return item.future

    def close(self) -> None:
        """Stop the thread when what it runs has ended; one that hangs is left after ``END_S``."""
        self._jobs.put(None)
        self._thread.join(END_S)

    async def _run_all(self) -> None:
        while batch := self._next():
            started = time.perf_counter()
            try:
                answers = await self._run(batch)
            except Exception as error:  # noqa: BLE001 - the batch's callers must hear of it
                answers = [error] * len(batch)
            ran_s = time.perf_counter() - started
            for item, answer in zip(batch, answers, strict=True):
                if item.future.cancelled():
                    continue
                if isinstance(answer, Exception):
                    item.future.set_exception(answer)
                else:
                    item.future.set_result(Timed(answer, started - item.submitted, ran_s))

    async def _run(self, batch: Sequence[_Item]) -> list[ModelOutput | Exception]:
        model = batch[0].model
        self._observe(model, len(batch))
        maps = any(item.activation_map for item in batch)
        images = [item.image for item in batch]
        future: Future[list[ModelOutput | Exception]] = Future()
        self._jobs.put((future, partial(_answers, model, images, activation_map=maps)))
        return await asyncio.wrap_future(future)

    def _next(self) -> list[_Item]:
        """Take the next batch: the first image in order, and those of its model behind it."""
        by_arrival = next(self._turns) % TURNS == 0
        waiting = [item for item in self._waiting if not item.future.cancelled()]
        waiting.sort(key=lambda item: (0 if by_arrival else item.priority, item.arrival))
        batch = [item for item in waiting if item.model is waiting[0].model][: SIZES[-1]]
        self._waiting = [item for item in waiting if item not in batch]
        return batch


def _work(jobs: "SimpleQueue[_Job | None]") -> None:
    """Run what comes, until None comes."""
    while (job := jobs.get()) is not None:
        future, call = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - handed over, whatever it is
                future.set_exception(error)
        # No image stays until the next batch comes.
        del job, future, call


def _answers(
    model: ServedModel, images: Sequence[NDArray[np.uint8]], *, activation_map: bool
) -> list[ModelOutput | Exception]:
    """What each image gets: where a batch fails, each is run alone, and fails for itself."""
    size = next(size for size in SIZES if size >= len(images))
    batch = np.zeros((size, *images[0].shape[1:]), np.uint8)
    np.concatenate(images, out=batch[: len(images)])
    try:
        output = model.session.run(batch, activation_map=activation_map)
    except Exception as error:  # noqa: BLE001 - handed over, whatever it is
        if len(images) == 1 or isinstance(error, DeviceLost):
            return [error.with_traceback(None)] * len(images)
        alone = (_answers(model, [image], activation_map=activation_map) for image in images)
        return [answer for (answer,) in alone]
    return [output.of(index) for index in range(len(images))]
