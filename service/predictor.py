"""The use case: the bytes of images in, a prediction for each out. It knows no HTTP."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.batcher import MicroBatcher
from service.decoders import Decoders
from service.errors import InferenceFailed
from service.image_task import Costly, Fitted, ImageTask, Step
from service.prediction import (
    ImageFailure,
    ImageResult,
    Prediction,
    PredictionOptions,
    StageTimes,
    Upload,
)
from service.priorities import Priority, PriorityThreads, Timed
from service.repository import ModelRepository
from service.session import ModelOutput, ServedModel
from service.tracing import NO_TRACE, RequestTrace

T = TypeVar("T")


class Predictor:
    """Reads images and runs models, each image on one thread.

    ``repository`` has the models that new requests are answered with; a reload sets another. What
    is not plain goes to the decoders, and a model on an accelerator to the batcher.
    """

    def __init__(
        self,
        repository: ModelRepository,
        threads: PriorityThreads,
        decoders: Decoders,
        batcher: MicroBatcher,
        max_pixels: int,
    ) -> None:
        self.repository = repository
        self._threads = threads
        self._decoders = decoders
        self._batcher = batcher
        self._max_pixels = max_pixels
        self._in_work = 0

    @property
    def can_decode(self) -> bool:
        """Whether files that are not plain can be decoded now."""
        return self._decoders.available

    @property
    def depth(self) -> int:
        """How many images wait: for a thread, for a decoder, or for a batch."""
        return self._threads.depth + self._decoders.depth + self._batcher.depth

    async def predict(self, uploads: Sequence[Upload], options: PredictionOptions) -> Prediction:
        """Read every file and answer it; one that fails does not hold up the others.

        The named model answers every file, else the one that suits the file.

        Raises:
            UnknownModel: There is no such model or version.
            DeviceLost: The accelerator does not run any more.
        """
        started = time.perf_counter()
        # A reload meanwhile changes nothing for a request that has begun.
        repository = self.repository
        named = repository.get(options.model, options.version) if options.model else None
        results = await asyncio.gather(
            *(self._one(each, named, repository, options) for each in uploads)
        )
        models = (result.model for result in results if isinstance(result, ImageResult))
        return Prediction(
            model=next(models, named) or repository.get(None, options.version),
            results=tuple(results),
            times=sum((result.times for result in results), StageTimes()),
            total_s=time.perf_counter() - started,
        )

    async def probe(self, model: ServedModel) -> None:
        """Run a model on a blank image, ahead of everything else; raises what ``infer`` does."""
        blank = np.zeros((1, *model.manifest.preprocessing.size, 1), np.uint8)
        await self.infer(model, blank, Priority.STAT)

    def infer(
        self,
        model: ServedModel,
        image: NDArray[np.uint8],
        priority: Priority,
        *,
        activation_map: bool = False,
    ) -> asyncio.Future[Timed[ModelOutput]]:
        """Run a model on one image of its size, uint8 (1, height, width, 1).

        Raises:
            InferenceFailed: Out of the future: the model did not run.
            DeviceLost: As before: the accelerator does not run any more.
        """
        if model.batched:
            return self._batcher.run(model, image, priority, activation_map=activation_map)
        return self._threads.run(
            priority, partial(model.session.run, image, activation_map=activation_map)
        )

    async def infer_file(
        self,
        model: ServedModel,
        data: bytes | memoryview,
        priority: Priority,
        *,
        activation_map: bool = False,
        trace: RequestTrace = NO_TRACE,
    ) -> tuple[ModelOutput, StageTimes]:
        """Decode an image file and run a model on it: what the model says, without any decision.

        Raises:
            ImageError: The file is no image, or none that the model takes.
            FileTooCostly: It takes more time or memory to decode than one file may.
            FileFailed: It met an error that nobody foresaw.
            InferenceFailed: The model did not run.
            DeviceLost: The accelerator does not run any more.
        """
        options = PredictionOptions(priority=priority, heatmap=activation_map, trace=trace)
        upload = Upload(None, (bytes(data),))
        task = ImageTask(upload, model, self.repository, options, self._max_pixels, only_fits=True)
        step = await self._read(task)
        if isinstance(step, ImageFailure):
            raise step.error
        assert isinstance(step, Fitted), "nothing else is asked for"  # noqa: S101
        output = await self._infer(task, step)
        return output, task.times

    async def close(self) -> None:
        """Finish what is queued, then stop the threads and the decoders."""
        await self._decoders.close()
        await asyncio.to_thread(self._threads.close)
        await asyncio.to_thread(self._batcher.close)

    async def _one(
        self,
        upload: Upload,
        model: ServedModel | None,
        repository: ModelRepository,
        options: PredictionOptions,
    ) -> ImageResult | ImageFailure:
        task = ImageTask(upload, model, repository, options, self._max_pixels)
        self._in_work += 1
        try:
            step = await self._read(task)
            if isinstance(step, Fitted):
                try:
                    output = await self._infer(task, step)
                except InferenceFailed as error:
                    step = task.failure(error)
                else:
                    step = await self._on_thread(task, partial(task.finish, output))
        finally:
            self._in_work -= 1
        assert isinstance(step, ImageResult | ImageFailure), "it has come to its end"  # noqa: S101
        return replace(step, times=task.times)

    async def _read(self, task: ImageTask) -> Step:
        """Decode the file, here or in a decoder, and go on as far as the task goes."""
        step = await self._on_thread(task, lambda: task.begin(alone=self._in_work == 1))
        if not isinstance(step, Costly):
            return step
        started = time.perf_counter()
        try:
            decoded = await self._decoders.decode(
                task.upload.chunks,
                step.cost,
                task.options.priority,
                frame=task.options.frame,
                at_least=task.hint.preprocessing.size,
                specs=task.specs(),
            )
        except Exception as error:  # noqa: BLE001 - sorted out there
            return task.failure(error)
        finally:
            decode_s = time.perf_counter() - started
            task.times += StageTimes(decode_s=decode_s)
            task.options.trace.stage("decode", decode_s)
        return await self._on_thread(task, lambda: task.fit(decoded, alone=self._in_work == 1))

    async def _infer(self, task: ImageTask, fitted: Fitted) -> ModelOutput:
        options = task.options
        done = await self.infer(
            fitted.model, fitted.image, options.priority, activation_map=options.heatmap
        )
        options.trace.stage("queue", done.waited_s, done.ran_s)
        options.trace.stage("inference", done.ran_s)
        task.times += StageTimes(queue_s=done.waited_s, inference_s=done.ran_s)
        return done.value

    async def _on_thread(self, task: ImageTask, call: Callable[[], T]) -> T:
        """Do a part of an image's work on a thread, and record where the time went."""
        before = task.times
        done = await self._threads.run(task.options.priority, call)
        trace = task.options.trace
        inference_s = task.times.inference_s - before.inference_s
        trace.stage("queue", done.waited_s, done.ran_s)
        trace.stage("decode", done.ran_s - inference_s, inference_s)
        if inference_s:
            trace.stage("inference", inference_s)
        task.times += StageTimes(queue_s=done.waited_s)
        return done.value
