"""Puts images that wait for an accelerator into one run of a model."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from operator import attrgetter

import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from service.domain import BATCH_SIZES, TURNS, Outputs, Priority, ServedModel, Timed
from service.errors import DeviceLost

END_S = 5.0
"""How long a stop waits for the run that goes on."""


@dataclass(eq=False, slots=True)
class _Item:
    """An image that waits."""

    model: ServedModel
    image: NDArray[np.uint8]
    priority: Priority
    activation_map: bool
    submitted: float = field(default_factory=time.perf_counter)
    future: asyncio.Future[Timed[Outputs]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class MicroBatcher:
    """One queue for the images of all models, which run on the accelerator one batch at a time.

    A batch has images of one model alone, and runs as soon as the one before it has ended: what
    arrives meanwhile is the next. Urgent images go first, but every fifth batch is that of the
    image that waits longest. An image whose caller is gone is dropped before its batch. ``observe``
    is told the model and the number of images of every batch, before it runs.
    """

    def __init__(self, observe: Callable[[ServedModel, int], None]) -> None:
        self._observe = observe
        self._waiting: list[_Item] = []
        self._turns = count(1)
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
    ) -> asyncio.Future[Timed[Outputs]]:
        """Have an image run in a batch, uint8 (1, height, width, 1), of the model's size.

        The future gives what the model says of this image alone, or InferenceFailed or DeviceLost.
        """
        item = _Item(model, image, priority, activation_map)
        self._waiting.append(item)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.get_running_loop().create_task(self._run_all())
        return item.future

    async def close(self) -> None:
        """Wait until everything has run; a run that hangs is left after ``END_S``."""
        if self._runner is not None and not self._runner.done():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._runner, END_S)

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

    async def _run(self, batch: Sequence[_Item]) -> list[Outputs | Exception]:
        model = batch[0].model
        self._observe(model, len(batch))
        maps = any(item.activation_map for item in batch)
        call = partial(_answers, model, [item.image for item in batch], activation_map=maps)
        # Its threads are daemons: a run which never ends does not hold up the end of the process.
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)

    def _next(self) -> list[_Item]:
        """Take the next batch: the first image in order, and those of its model behind it."""
        waiting = [item for item in self._waiting if not item.future.cancelled()]
        by_arrival = next(self._turns) % TURNS == 0
        # Images of one priority stay in the order of their arrival.
        ordered = waiting if by_arrival else sorted(waiting, key=attrgetter("priority"))
        batch = [item for item in ordered if item.model is ordered[0].model][: BATCH_SIZES[-1]]
        self._waiting = [item for item in waiting if item not in batch]
        return batch


def _answers(
    model: ServedModel, images: Sequence[NDArray[np.uint8]], *, activation_map: bool
) -> list[Outputs | Exception]:
    """What each image gets: where a batch fails, each is run alone, and fails for itself."""
    size = next(size for size in BATCH_SIZES if size >= len(images))
    batch = np.zeros((size, *images[0].shape[1:]), np.uint8)
    np.concatenate(images, out=batch[: len(images)])
    try:
        outputs = model.run(batch, activation_map=activation_map)
    except Exception as error:  # noqa: BLE001 - handed over, whatever it is
        if len(images) == 1 or isinstance(error, DeviceLost):
            return [error.with_traceback(None)] * len(images)
        alone = (_answers(model, [image], activation_map=activation_map) for image in images)
        return [answer for (answer,) in alone]
    return [
        {name: array[index : index + 1] for name, array in outputs.items()}
        for index in range(len(images))
    ]
