"""The way of one image, from the bytes of its file to its answer. It knows no HTTP."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from contract.cost import DecodeCost, estimate_cost
from contract.decision import OodResult, decide
from contract.errors import ImageError
from contract.manifest import OOD_SCORE, SOURCE_DISTANCE
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.quality import judge
from contract.radiograph import Radiograph, decode
from contract.suitability import check_suitable
from service.batcher import MicroBatcher
from service.decoders import Decoders
from service.domain import (
    NO_PIXELS,
    PROBABILITIES,
    QUALITY,
    STAGES,
    Encoded,
    ImageFailure,
    ImageResult,
    Outputs,
    Prediction,
    Priority,
    Record,
    ServedModel,
    Stage,
    StageTimes,
    Upload,
)
from service.errors import DeviceLost, FileFailed, InferenceFailed, ProblemType, ServiceError, where
from service.overlays import draw_finding, draw_lungs, look_for_lungs
from service.priorities import PriorityThreads
from service.repository import ModelRepository
from service.schemas import PredictQuery
from service.tracing import NO_TRACE

Image = NDArray[np.uint8]
Fit = Callable[[PreprocessingSpec], Image]
T = TypeVar("T")


class Predictor:
    """Reads images and runs models, each image on one thread.

    ``repository`` has the models that new requests are answered with; a reload sets another. What
    is not plain, or takes more than ``plain_bytes``, goes to the decoders, and a model on an
    accelerator to the batcher.
    """

    def __init__(
        self,
        repository: ModelRepository,
        threads: PriorityThreads,
        decoders: Decoders,
        batcher: MicroBatcher,
        max_pixels: int,
        plain_bytes: int,
    ) -> None:
        self.repository = repository
        self._threads = threads
        self._decoders = decoders
        self._batcher = batcher
        self.max_pixels = max_pixels
        self.plain_bytes = plain_bytes

    @property
    def can_decode(self) -> bool:
        """Whether files that are not plain can be decoded now."""
        return self._decoders.available

    @property
    def depth(self) -> int:
        """How many images wait: for a thread, for a decoder, or for a batch."""
        return self._threads.depth + self._decoders.depth + self._batcher.depth

    async def predict(
        self, uploads: Sequence[Upload], query: PredictQuery, record: Record = NO_TRACE.stage
    ) -> Prediction:
        """Read every file and answer it; one that fails does not hold up the others.

        The named model answers every file, else the one that suits the file. Raises ServiceError
        where there is no such model or version, or the accelerator is lost.
        """
        started = time.perf_counter()
        # A reload meanwhile changes nothing for a request that has begun.
        repository = self.repository
        named = repository.get(query.model, query.version) if query.model else None
        tasks = [_Task(self, each, named, repository, query, record) for each in uploads]
        if len(tasks) == 1:
            # Without the task and the turn of the loop that a gather takes.
            results = [await self._answer(tasks[0])]
        else:
            results = await asyncio.gather(*map(self._answer, tasks))
        models = (result.model for result in results if isinstance(result, ImageResult))
        return Prediction(
            model=next(models, named) or repository.get(None, query.version),
            results=tuple(results),
            total_s=time.perf_counter() - started,
        )

    async def infer(
        self,
        model: ServedModel,
        images: Image | Encoded,
        query: PredictQuery,
        record: Record = NO_TRACE.stage,
    ) -> tuple[Outputs, list[StageTimes]]:
        """Run a model on images: what it says of them, without any decision, and what each took.

        ``images`` are of the model's size, uint8 (batch, height, width, 1), or image files. Each
        joins the queue by itself, so it can share a batch with others; the failure of one fails
        all: ImageError for a file that the model does not take, ServiceError for all else.
        """

        async def infer_one(index: int) -> tuple[Outputs, StageTimes]:
            image = images[index]
            if isinstance(image, np.ndarray):
                task = _Task(self, Upload(None, ()), model, self.repository, query, record)
                return await self._run(task, image[np.newaxis]), task.times
            file = Upload(None, (image,))
            task = _Task(self, file, model, self.repository, query, record, decides=False)
            fitted = await self._read(task)
            if isinstance(fitted, np.ndarray):
                return await self._run(task, fitted), task.times
            error = cast("ImageFailure", fitted).error
            if isinstance(error, ImageError):
                raise type(error)(f"image[{index}]: {error}") from None
            raise error

        running = [asyncio.create_task(infer_one(index)) for index in range(len(images))]
        try:
            outputs, times = zip(*await asyncio.gather(*running), strict=True)
        finally:
            # When one fails, nobody wants the others any more.
            for each in running:
                each.cancel()
        arrays = {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}
        return arrays, list(times)

    async def close(self) -> None:
        """Finish what is queued, then stop the threads and the decoders."""
        await self._decoders.close()
        await asyncio.to_thread(self._threads.close)
        await self._batcher.close()

    async def _answer(self, task: "_Task") -> ImageResult | ImageFailure:
        fitted = await self._read(task)
        if not isinstance(fitted, np.ndarray):
            return fitted
        try:
            outputs = await self._run(task, fitted)
        except InferenceFailed as error:
            return task.failure(error)
        return await self._on_thread(task, partial(task.finish, outputs))

    async def _read(self, task: "_Task") -> Image | ImageResult | ImageFailure:
        """Decode the file, here or in a decoder, and go on as far as the task goes."""
        begun = await self._on_thread(task, task.begin)
        if not isinstance(begun, DecodeCost):
            return begun
        started = time.perf_counter()
        try:
            radiograph, images = await self._decoders.decode(
                task.upload.chunks,
                begun,
                task.priority,
                frame=task.query.frame,
                at_least=task.chosen.manifest.preprocessing.size,
                specs=task.specs(),
            )
        except Exception as error:  # noqa: BLE001 - sorted out there
            return task.failure(error)
        finally:
            task.spent("decode", time.perf_counter() - started)
        return await self._on_thread(task, partial(task.prepare, radiograph, images.__getitem__))

    async def _run(self, task: "_Task", image: Image) -> Outputs:
        """Run the task's model alone: in a batch, or on a thread."""
        model, heatmap = task.chosen, task.query.heatmap
        if model.batched:
            done = await self._batcher.run(model, image, task.priority, activation_map=heatmap)
        else:
            run = partial(model.run, image, activation_map=heatmap)
            done = await self._threads.run(task.priority, run)
        task.spent("queue", done.waited_s, done.ran_s)
        task.spent("inference", done.ran_s)
        return _checked(done.value)

    async def _on_thread(self, task: "_Task", call: Callable[[], T]) -> T | ImageFailure:
        """Do a part of an image's work on a thread, and record where the time went.

        What is wrong with the file is returned, so that no traceback keeps its pixels.
        """
        before = task.times["inference"]

        def guarded() -> T | ImageFailure:
            try:
                return call()
            except Exception as error:  # noqa: BLE001 - sorted out there
                return task.failure(error)

        done = await self._threads.run(task.priority, guarded)
        inference_s = task.times["inference"] - before
        task.spent("queue", done.waited_s, done.ran_s)
        task.spent("decode", done.ran_s - inference_s, inference_s)
        if inference_s:
            task.record("inference", inference_s, 0.0)
        return done.value


@dataclass(slots=True)
class _Task:
    """One image of a request, and how far it has come; each method runs on a thread.

    ``begin`` answers a plain file for a model on the CPU in one go. Where it gives a cost, the
    file is not plain: it goes to a decoder, and then to ``prepare``. Where either gives an image,
    uint8 (1, height, width, 1), the model's outputs for it go to ``finish``. A task that does not
    decide runs no model here, and takes no digest.
    """

    predictor: Predictor
    upload: Upload
    model: ServedModel | None
    repository: ModelRepository
    query: PredictQuery
    record: Record
    decides: bool = True
    sha256: str = ""
    times: StageTimes = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    radiograph: Radiograph | None = None
    fit: Fit | None = None

    @property
    def priority(self) -> Priority:
        return Priority[self.query.priority.upper()]

    @property
    def chosen(self) -> ServedModel:
        """The model that answers the file; the default one, until the file says its modality."""
        return self.model or self.repository.get()

    def begin(self) -> DecodeCost | Image | ImageResult:
        """Read the file, and answer it where nothing else is needed for that."""
        limits = {"frame": self.query.frame, "max_pixels": self.predictor.max_pixels}
        data = self.upload.data()
        if self.decides:
            self.sha256 = hashlib.sha256(data).hexdigest()
        cost = estimate_cost(data, **limits)
        if not cost.plain or cost.memory_bytes > self.predictor.plain_bytes:
            return cost
        # A JPEG names no modality, so it may be reduced to the size of the default model.
        at_least = self.chosen.manifest.preprocessing.size
        radiograph = decode(data, at_least=at_least, cost=cost, **limits)
        del data
        return self.prepare(radiograph, partial(preprocess, radiograph))

    def prepare(self, radiograph: Radiograph, fit: Fit) -> Image | ImageResult:
        """Go on with a decoded file, which may lack its pixels; ``fit`` gives it in a size."""
        facts = radiograph.dicom
        if self.model is None:
            modality = facts.modality if facts else None
            self.model = self.repository.for_modality(modality, self.query.version)
        manifest, finding = self.model.manifest, self.query.finding
        check_suitable(facts, manifest)
        if finding is not None and finding not in manifest.labels:
            raise ServiceError(
                ProblemType.INVALID_PARAMETER,
                f"explain: the model {manifest.name} has no finding {finding}. "
                f"It has: {', '.join(manifest.labels)}.",
            )
        wanted = manifest.preprocessing
        fitted = fit(wanted)
        image = fitted[np.newaxis]
        if not self.decides:
            return image
        if self.model.batched:
            # While it waits for the accelerator, it is kept only in the sizes that are needed.
            self.fit = {spec: fit(spec) for spec in self.specs()}.__getitem__
            self.radiograph = replace(radiograph, pixels=NO_PIXELS)
            return image
        self.radiograph = radiograph
        self.fit = lambda spec: fitted if spec == wanted else fit(spec)
        started = time.perf_counter()
        outputs = _checked(self.model.run(image, activation_map=self.query.heatmap))
        self.times["inference"] += time.perf_counter() - started
        return self.finish(outputs)

    def finish(self, outputs: Outputs) -> ImageResult:
        """Decide on the model's outputs, of this image alone."""
        model, radiograph, fit = self.chosen, self.radiograph, self.fit
        assert radiograph is not None and fit is not None, "it was prepared"  # noqa: S101, PT018
        image, manifest = replace(radiograph, pixels=NO_PIXELS), model.manifest
        quality = out_of_distribution = evidence = heatmap = None
        if manifest.quality is not None:
            quality = judge(outputs[QUALITY][0], image.rows, image.columns, manifest.quality)
        drawn = self.query.heatmap
        lungs, quality = look_for_lungs(
            self.repository.segmenter, manifest, fit, quality, drawn=drawn
        )
        if manifest.out_of_distribution is not None:
            score = float(outputs[OOD_SCORE][0])
            out_of_distribution = OodResult(score=score, limit=manifest.out_of_distribution.limit)
        if SOURCE_DISTANCE in outputs:
            evidence = manifest.nearest_source(outputs[SOURCE_DISTANCE][0].tolist())
        decision = decide(
            manifest.labels,
            outputs[PROBABILITIES][0].tolist(),
            manifest.operating_points,
            quality=quality,
            out_of_distribution=out_of_distribution,
            evidence=evidence,
            evidenced=manifest.answers,
        )
        if drawn:
            asked = self.query.finding
            heatmap = draw_finding(manifest, outputs, decision, lungs, image, asked)
        self.radiograph = self.fit = None
        return ImageResult(
            name=self.upload.name,
            sha256=self.sha256,
            times=self.times,
            model=model,
            image=image,
            probabilities=outputs[PROBABILITIES][0],
            decision=decision,
            quality=quality,
            out_of_distribution=out_of_distribution,
            evidence=evidence,
            heatmap=heatmap,
            lungs=draw_lungs(lungs, image) if drawn and lungs is not None else None,
        )

    def failure(self, error: Exception) -> ImageFailure:
        """What is wrong with the file; DeviceLost, which is not of it alone, is raised."""
        if isinstance(error, DeviceLost):
            raise error.with_traceback(None)
        if not isinstance(error, ImageError | ServiceError):
            is_memory = isinstance(error, MemoryError)
            error = FileFailed(type(error).__name__, where(error), is_memory=is_memory)
        # A model's cause goes to the log. Tracebacks hold the pixels, other causes quote the file.
        cause = error.__cause__ if isinstance(error, ServiceError) else None
        error.__cause__ = None if cause is None else cause.with_traceback(None)
        error.__context__ = None
        digest = self.sha256 or self.upload.sha256()
        self.radiograph = self.fit = None
        return ImageFailure(self.upload.name, digest, self.times, error.with_traceback(None))

    def spent(self, stage: Stage, ran_s: float, ended_s_ago: float = 0.0) -> None:
        """Note a stage that is over, for the answer and for the trace."""
        self.times[stage] += ran_s
        self.record(stage, ran_s, ended_s_ago)

    def specs(self) -> tuple[PreprocessingSpec, ...]:
        """The sizes that may be wanted of the file before its modality is known."""
        models = self.repository.all() if self.model is None else (self.model,)
        found = [model.manifest.preprocessing for model in models]
        if self.repository.segmenter is not None:
            found.append(self.repository.segmenter.manifest.preprocessing)
        return tuple(dict.fromkeys(found))


def _checked(outputs: Outputs) -> Outputs:
    """What a model says of an image; InferenceFailed where a probability is no number.

    A score of the unfamiliar that is none refers the image.
    """
    if not np.isfinite(outputs[PROBABILITIES]).all():
        raise InferenceFailed
    return outputs
