"""Puts images of several requests into one run of a model, where that makes the machine faster."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from itertools import count

import numpy as np
from numpy.typing import NDArray

from service.errors import DeviceLost, ServiceError, without_tracebacks
from service.priorities import TURNS, Priority
from service.repository import ServedModel
from service.session import ModelOutput
from service.stages import Timed
from service.tracing import NO_TRACE, NO_TRACING, RequestTrace, Tracing

Observe = Callable[[ServedModel, int], None]


class DynamicBatcher:
    """One queue for the images of all models, and the threads that run them.

    A batch has images of one model alone. It runs as soon as a thread is free, unless images are
    still being decoded that could join it: then it waits for them, but no longer than its model's
    plan allows, and never where there are none. Urgent images go first, but every fifth batch is
    that of the image that waits longest. An image whose caller is gone is dropped before its batch.
    """

    def __init__(
        self,
        workers: int,
        observe: Observe = lambda _model, _images: None,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        """Start the threads.

        Args:
            workers: How many batches may run at once, at least 1.
            observe: Is told the model and the number of images of every batch, before it runs.
            tracing: Records every batch with the requests that it served.
        """
        self._observe = observe
        self._tracing = tracing
        self._waiting: list[_Item] = []
        self._expected = 0
        self._closing = False
        self._arrivals, self._turn = count(), 0
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._serve, name=f"inference-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """How many images wait for a batch."""
        return len(self._waiting)

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Say that an image may come before this block ends."""
        with self._changed:
            self._expected += 1
        try:
            yield
        finally:
            with self._changed:
                self._expected -= 1
                if not self._expected and self._waiting:
                    self._changed.notify_all()

    def submit(
        self,
        model: ServedModel,
        image: NDArray[np.uint8],
        priority: Priority,
        *,
        activation_map: bool = False,
        trace: RequestTrace = NO_TRACE,
    ) -> Future[Timed[ModelOutput]]:
        """Have an image run in a batch; when its future is cancelled first, it is dropped.

        Args:
            model: Which model runs.
            image: uint8 (1, height, width, 1), of the model's size.
            priority: Urgent images go first.
            activation_map: Whether the map is wanted.
            trace: Of the request that the image came with.

        Returns:
            Of what the model says of this image alone, arrays of batch size 1; or InferenceFailed,
            DeviceLost.
        """
        arrival = next(self._arrivals)
        item = _Item(model, image, priority, arrival, trace, activation_map=activation_map)
        with self._changed:
            self._waiting.append(item)
            self._changed.notify()
        return item.future

    def close(self) -> None:
        """Run what is queued, then stop the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while batch := self._next():
            _run(batch, self._observe, self._tracing)
            # Nothing of a batch is kept while the thread waits for another.
            del batch

    def _next(self) -> "list[_Item]":
        """Wait for a batch, and take it; none when everything is done and the end has come."""
        with self._changed:
            while True:
                # One that another thread took is not kept while this one waits for the next.
                batch: list[_Item] = []
                self._waiting = [item for item in self._waiting if not item.future.cancelled()]
                if not self._waiting:
                    if self._closing:
                        return []
                    self._changed.wait()
                    continue
                batch = _compose(self._waiting, by_arrival=self._turn % TURNS == TURNS - 1)
                delay = self._delay(batch)
                if delay <= 0:
                    break
                self._changed.wait(delay)
            self._turn += 1
            taken = set(map(id, batch))
            self._waiting = [item for item in self._waiting if id(item) not in taken]
            if self._waiting:
                # The other threads may be waiting for what this one has taken.
                self._changed.notify()
            return batch

    def _delay(self, batch: "Sequence[_Item]") -> float:
        """How many seconds the batch may still wait for images that are on their way."""
        plan = batch[0].model.plan
        if self._closing or not self._expected or len(batch) == plan.largest:
            return 0.0
        oldest = min(item.submitted for item in batch)
        return oldest + plan.max_delay_s - time.perf_counter()


class _Item:
    """An image that waits. Its box is emptied when it has run or was cancelled."""

    __slots__ = (
        "activation_map", "arrival", "box", "future", "model", "priority", "submitted", "trace",
    )  # fmt: skip

    def __init__(
        self,
        model: ServedModel,
        image: NDArray[np.uint8],
        priority: Priority,
        arrival: int,
        trace: RequestTrace,
        *,
        activation_map: bool,
    ) -> None:
        self.model = model
        self.box = box = [image]
        self.priority = priority
        self.arrival = arrival
        self.trace = trace
        self.activation_map = activation_map
        self.submitted = time.perf_counter()
        self.future: Future[Timed[ModelOutput]] = Future()
        self.future.add_done_callback(lambda _: box.clear())


def _compose(waiting: Sequence[_Item], *, by_arrival: bool) -> list[_Item]:
    """The next batch: the first image in order, and those of its model that follow it."""

    def order(item: _Item) -> tuple[int, int]:
        return (0 if by_arrival else item.priority, item.arrival)

    model = min(waiting, key=order).model
    alike = sorted((item for item in waiting if item.model is model), key=order)
    return alike[: model.plan.largest]


def _run(batch: Sequence[_Item], observe: Observe, tracing: Tracing) -> None:
    """Run a batch and hand each image's answer over, or what went wrong."""
    # From here on none of them can be cancelled.
    running = [item for item in batch if item.future.set_running_or_notify_cancel()]
    if not running:
        return
    model, images = running[0].model, [item.box[0] for item in running]
    observe(model, len(running))
    started = time.perf_counter()
    run = partial(_outputs, model, activation_map=any(item.activation_map for item in running))
    for item, answer in zip(running, _answers(images, run), strict=True):
        if isinstance(answer, BaseException):
            item.future.set_exception(answer)
        else:
            ran_s = time.perf_counter() - started
            item.future.set_result(Timed(answer, started - item.submitted, ran_s))
    tracing.batch(model, [item.trace for item in running], time.perf_counter() - started)


def _answers(
    images: Sequence[NDArray[np.uint8]],
    run: Callable[[Sequence[NDArray[np.uint8]]], list[ModelOutput]],
) -> Sequence[ModelOutput | BaseException]:
    """What each image gets: where a batch fails, each is run alone, and fails for itself."""
    failure: BaseException
    try:
        return run(images)
    except ServiceError as error:
        failure = without_tracebacks(error)
    except BaseException as error:  # noqa: BLE001 - it is handed over, whatever it is
        failure = error
    if len(images) == 1 or isinstance(failure, DeviceLost):
        return [failure] * len(images)
    return [_answers([image], run)[0] for image in images]


def _outputs(
    model: ServedModel, images: Sequence[NDArray[np.uint8]], *, activation_map: bool
) -> list[ModelOutput]:
    """Run images, padded to the next size that is warm, and take their outputs apart."""
    batch = np.zeros((model.plan.padded(len(images)), *images[0].shape[1:]), np.uint8)
    np.concatenate(images, out=batch[: len(images)])
    output = model.session.run(batch, activation_map=activation_map)
    return [output.of(index) for index in range(len(images))]
