"""The use case: the bytes of images in, a prediction for each out. It knows no HTTP."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from contract.errors import ImageError
from service.answering import make_answer, read_and_answer
from service.batching import DynamicBatcher
from service.engines.pool import Engines
from service.engines.wire import Order, Outcome
from service.errors import FileFailed, InferenceFailed, ServiceError, without_tracebacks
from service.executors import PriorityExecutor
from service.logs import file_failed
from service.prediction import (
    Answer,
    Prediction,
    PredictionOptions,
    Rejection,
    StageTimes,
    Upload,
)
from service.priorities import Priority
from service.reading import Pending, Reader
from service.repository import ModelRepository, ServedModel
from service.session import ModelOutput
from service.stages import Timed, finish
from service.tracing import NO_TRACE, RequestTrace

SMALL_FILE_BYTES = 1024 * 1024
"""Others may have to wait for a file up to this, as it is read in step with theirs."""


class Predictor:
    """Reads images and runs models, on threads of its own or in engines."""

    def __init__(
        self,
        repository: ModelRepository,
        workers: PriorityExecutor,
        batcher: DynamicBatcher,
        max_pixels: int,
    ) -> None:
        """Take the parts.

        Args:
            repository: The models.
            workers: Threads that decode, draw, and run what gains nothing from batches on the CPU.
            batcher: Runs the other models.
            max_pixels: The largest image, as its header says.
        """
        self._serving = _Serving(Reader(repository, max_pixels), None)
        self._workers = workers
        self._batcher = batcher

    @property
    def repository(self) -> ModelRepository:
        """The models that new requests are answered with."""
        return self._serving.reader.repository

    @property
    def engines(self) -> Engines | None:
        """The processes that new requests are read by; None where threads do."""
        return self._serving.engines

    @property
    def waits_for_engines(self) -> bool:
        """Whether all of them have died, and none is there again yet."""
        return self.engines is not None and not self.engines.alive

    def serve(self, repository: ModelRepository, engines: Engines | None = None) -> None:
        """Answer new requests with these models; one that has begun keeps those it began with.

        Args:
            repository: The models.
            engines: What reads images for them, started; None leaves that to the threads here.
        """
        before = self._serving
        self._serving = _Serving(replace(before.reader, repository=repository), engines)
        if before.engines is not None and before.engines is not engines:
            before.engines.retire()

    @property
    def depth(self) -> int:
        """How many images wait for a thread or for a batch."""
        engines = 0 if self.engines is None else self.engines.depth
        return engines + self._workers.depth + self._batcher.depth

    async def predict(self, uploads: Sequence[Upload], options: PredictionOptions) -> Prediction:
        """Read every file and answer it; one that fails does not hold up the others.

        One model answers a whole request: the named one, or the one that suits the first file that
        can be read.

        Raises:
            UnknownModel: There is no such model or version.
            DeviceLost: The accelerator does not run any more.
        """
        started = time.perf_counter()
        serving = self._serving
        with serving.held():
            model, results = await self._all(uploads, serving, options)
        return Prediction(
            model=model,
            results=tuple(results),
            times=sum((result.times for result in results), StageTimes()),
            total_s=time.perf_counter() - started,
        )

    async def probe(self, model: ServedModel) -> None:
        """Run a model on a blank image, ahead of everything else.

        Raises:
            InferenceFailed: The model did not run.
            DeviceLost: The accelerator does not run any more.
        """
        blank = np.zeros((1, *model.manifest.preprocessing.size, 1), np.uint8)
        await self.infer(model, blank, Priority.STAT)

    def infer(
        self,
        model: ServedModel,
        image: NDArray[np.uint8],
        priority: Priority,
        *,
        activation_map: bool = False,
        trace: RequestTrace = NO_TRACE,
    ) -> asyncio.Future[Timed[ModelOutput]]:
        """Run a model on one image, in a batch with others where that pays.

        Args:
            model: The model.
            image: uint8 (1, height, width, 1), of the model's size.
            priority: Urgent images go first.
            activation_map: Whether the map is wanted.
            trace: Of the request that the image came with.

        Returns:
            What to await; it raises InferenceFailed where the model did not run, and DeviceLost
            where the accelerator does not run any more.
        """
        if not model.queued:
            run = partial(model.session.run, image, activation_map=activation_map)
            return self._workers.run(priority, run)
        future = self._batcher.submit(
            model, image, priority, activation_map=activation_map, trace=trace
        )
        return asyncio.wrap_future(future)

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

        Args:
            model: The model.
            data: The file.
            priority: Urgent images go first.
            activation_map: Whether the map is wanted.
            trace: Where the stages are recorded.

        Returns:
            Arrays of batch size 1, and what was spent on them.

        Raises:
            ImageError: The file is no image, or none that the model takes.
            FileFailed: It met an error that nobody foresaw.
            InferenceFailed: The model did not run.
            DeviceLost: The accelerator does not run any more.
        """
        reader = self._serving.reader
        with self._batcher.expecting():
            try:
                fitted = await self._workers.run(priority, partial(reader.fit, data, model))
            except ImageError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it may quote the file
                raise file_failed(error) from None
            trace.stage("queue", fitted.waited_s, fitted.ran_s)
            trace.stage("decode", fitted.ran_s)
            run = self.infer(
                model, fitted.value, priority, activation_map=activation_map, trace=trace
            )
        try:
            output = await run
        finally:
            # It has the error, whose traceback has this frame: a cycle around the file.
            del run
        trace.stage("queue", output.waited_s, output.ran_s)
        trace.stage("inference", output.ran_s)
        waited_s = fitted.waited_s + output.waited_s
        return output.value, StageTimes(fitted.ran_s, waited_s, output.ran_s)

    def close(self) -> None:
        """Finish what is queued, then stop the threads."""
        self._workers.close()
        self._batcher.close()

    async def _all(
        self, uploads: Sequence[Upload], serving: "_Serving", options: PredictionOptions
    ) -> tuple[ServedModel, list[Answer | Rejection]]:
        model = serving.named(options) if options.model is not None else None
        waiting = iter(uploads)
        results: list[Answer | Rejection] = []
        while model is None and (upload := next(waiting, None)) is not None:
            result = await self._one(upload, None, serving, options)
            results.append(result)
            model = result.model if isinstance(result, Answer) else None
        results += await asyncio.gather(
            *(self._one(each, model, serving, options) for each in waiting)
        )
        return model or serving.named(options), results

    async def _one(
        self,
        upload: Upload,
        model: ServedModel | None,
        serving: "_Serving",
        options: PredictionOptions,
    ) -> Answer | Rejection:
        try:
            return await self._read_and_answer(upload, model, serving, options)
        except FileFailed as error:
            failure = without_tracebacks(error)
        except ServiceError:
            # It is not of this file alone.
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other files are answered
            failure = file_failed(error)
        # Only now, when the traceback has let go of what it held.
        digest = await self._workers.run(options.priority, upload.sha256)
        return Rejection(upload.name, digest.value, StageTimes(), failure)

    def _begin(
        self,
        upload: Upload,
        model: ServedModel | None,
        serving: "_Serving",
        options: PredictionOptions,
    ) -> asyncio.Future[Timed[Outcome]]:
        if serving.engines is not None:
            return serving.engines.run(options.priority, Order.of(model, options), upload)
        stages = read_and_answer(upload, model, serving.reader, options)
        # What runs elsewhere goes there as soon as it is read.
        waits = (model or serving.reader.repository.get()).queued
        if waits or upload.size > SMALL_FILE_BYTES:
            return self._workers.run(options.priority, partial(finish, stages))
        cohort = (model and model.bundle, options.heatmap)
        return self._workers.run_stages(options.priority, stages, cohort)

    async def _read_and_answer(
        self,
        upload: Upload,
        model: ServedModel | None,
        serving: "_Serving",
        options: PredictionOptions,
    ) -> Answer | Rejection:
        with self._batcher.expecting():
            begun = await self._begin(upload, model, serving, options)
            options.trace.stage("queue", begun.waited_s, begun.ran_s)
            _trace(options.trace, begun.value.times)
            waited = StageTimes(queue_s=begun.waited_s)
            if not isinstance(begun.value, Pending):
                return replace(begun.value, times=begun.value.times + waited)
            reading, times = begun.value.reading, begun.value.times + waited
            run = self.infer(
                reading.model,
                reading.image,
                options.priority,
                activation_map=options.heatmap,
                trace=options.trace,
            )
        try:
            output = await run
        except InferenceFailed as error:
            return Rejection(upload.name, reading.sha256, times, without_tracebacks(error))
        finally:
            # It has the error, whose traceback has this frame: a cycle around the file.
            del run
        options.trace.stage("queue", output.waited_s, output.ran_s)
        options.trace.stage("inference", output.ran_s)
        times += StageTimes(queue_s=output.waited_s, inference_s=output.ran_s)
        finish = partial(make_answer, upload.name, reading, output.value, times)
        return (
            (await self._workers.run(options.priority, finish)).value
            if options.heatmap
            else finish()
        )


@dataclass(frozen=True, slots=True)
class _Serving:
    """What a request is answered with, from its beginning to its end."""

    reader: Reader
    engines: Engines | None

    def named(self, options: PredictionOptions) -> ServedModel:
        """The model that a request names, or the default one.

        Raises:
            UnknownModel: There is no such model or version.
        """
        return self.reader.repository.get(options.model, options.version)

    def held(self) -> AbstractContextManager[None]:
        """Keep the engines from ending while a request needs them."""
        return nullcontext() if self.engines is None else self.engines.held()


def _trace(trace: RequestTrace, times: StageTimes) -> None:
    """Record what was done with a file in one go: first it was read, then its model ran."""
    trace.stage("decode", times.decode_s, times.inference_s)
    if times.inference_s:
        trace.stage("inference", times.inference_s)
