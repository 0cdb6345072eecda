"""The way of one image, from the bytes of its file to its answer. It knows no HTTP."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from contract.cost import DecodeCost, estimate_cost
from contract.decision import OodResult, decide
from contract.errors import ImageError
from contract.findings import Label
from contract.manifest import OOD_SCORE, SOURCE_DISTANCE, ModelManifest
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.quality import judge
from contract.radiograph import decode
from contract.suitability import check_suitable
from service.batcher import MicroBatcher
from service.decoders import DecodedImage, Decoders
from service.domain import (
    NO_PIXELS,
    PROBABILITIES,
    QUALITY,
    ImageFailure,
    ImageResult,
    Outputs,
    Prediction,
    PredictionOptions,
    ServedModel,
    StageTimes,
    Timed,
    Upload,
)
from service.errors import DeviceLost, FileFailed, InferenceFailed, ProblemType, ServiceError, where
from service.overlays import draw_finding, draw_lungs, look_for_lungs
from service.priorities import PriorityThreads
from service.repository import ModelRepository

Image = NDArray[np.uint8]
Step = ImageResult | ImageFailure | DecodeCost | Image


class Predictor:
    """Reads images and runs models, each image on one thread.

    ``repository`` has the models that new requests are answered with; a reload sets another. What
    is not plain goes to the decoders, and a model on an accelerator to the batcher. ``in_work`` is
    how many images of ``predict`` are in it.
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
        self.max_pixels = max_pixels
        self.in_work = 0

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
            ServiceError: There is no such model or version.
            DeviceLost: The accelerator does not run any more.
        """
        started = time.perf_counter()
        # A reload meanwhile changes nothing for a request that has begun.
        repository = self.repository
        named = repository.get(options.model, options.version) if options.model else None
        tasks = (_Task(self, each, named, repository, options) for each in uploads)
        results = await asyncio.gather(*map(self._answer, tasks))
        models = (result.model for result in results if isinstance(result, ImageResult))
        return Prediction(
            model=next(models, named) or repository.get(None, options.version),
            results=tuple(results),
            total_s=time.perf_counter() - started,
        )

    async def infer(
        self, model: ServedModel, image: Image | bytes | memoryview, options: PredictionOptions
    ) -> tuple[Outputs, StageTimes]:
        """Run a model on one image: what it says, without any decision, and what it took.

        ``image`` is of the model's size, uint8 (1, height, width, 1), or an image file.

        Raises:
            ImageError: The file is no image, or none that the model takes.
            ServiceError: It takes more time or memory to decode than one file may.
            FileFailed: It met an error that nobody foresaw.
            InferenceFailed: The model did not run.
            DeviceLost: The accelerator does not run any more.
        """
        files = () if isinstance(image, np.ndarray) else (image,)
        task = _Task(self, Upload(None, files), model, self.repository, options, decides=False)
        step: Step = image if isinstance(image, np.ndarray) else await self._read(task)
        if isinstance(step, ImageFailure):
            raise step.error
        assert isinstance(step, np.ndarray), "it is not decided on"  # noqa: S101
        return await self._run(task, step), task.times

    async def close(self) -> None:
        """Finish what is queued, then stop the threads and the decoders."""
        await self._decoders.close()
        await asyncio.to_thread(self._threads.close)
        await self._batcher.close()

    async def _answer(self, task: "_Task") -> ImageResult | ImageFailure:
        self.in_work += 1
        try:
            step = await self._read(task)
            if isinstance(step, np.ndarray):
                try:
                    outputs = await self._run(task, step)
                except InferenceFailed as error:
                    return task.failure(error)
                step = await self._on_thread(task, partial(task.finish, outputs))
        finally:
            self.in_work -= 1
        assert isinstance(step, ImageResult | ImageFailure), "it has come to its end"  # noqa: S101
        return step

    async def _read(self, task: "_Task") -> Step:
        """Decode the file, here or in a decoder, and go on as far as the task goes."""
        step = await self._on_thread(task, task.begin)
        if not isinstance(step, DecodeCost):
            return step
        started = time.perf_counter()
        try:
            decoded = await self._decoders.decode(
                task.upload.chunks,
                step,
                task.options.priority,
                frame=task.options.frame,
                at_least=task.hint.preprocessing.size,
                specs=task.specs(),
            )
        except Exception as error:  # noqa: BLE001 - sorted out there
            return task.failure(error)
        finally:
            decode_s = time.perf_counter() - started
            task.times.decode_s += decode_s
            task.options.record("decode", decode_s, 0.0)
        return await self._on_thread(task, partial(task.fit, decoded))

    async def _run(self, task: "_Task", image: Image) -> Outputs:
        """Run the task's model alone: in a batch, or on a thread."""
        model, options = task.model, task.options
        assert model is not None, "it was chosen for the image"  # noqa: S101
        if model.batched:
            done = await self._batcher.run(
                model, image, options.priority, activation_map=options.heatmap
            )
        else:
            run = partial(model.run, image, activation_map=options.heatmap)
            done = await self._threads.run(options.priority, run)
        options.record("queue", done.waited_s, done.ran_s)
        options.record("inference", done.ran_s, 0.0)
        task.times.queue_s += done.waited_s
        task.times.inference_s += done.ran_s
        return done.value

    async def _on_thread(self, task: "_Task", call: Callable[[], Step]) -> Step:
        """Do a part of an image's work on a thread, and record where the time went.

        What is wrong with the file is returned, so that no traceback keeps its pixels.
        """
        before = task.times.inference_s

        def guarded() -> Step:
            try:
                return call()
            except Exception as error:  # noqa: BLE001 - sorted out there
                return task.failure(error)

        done: Timed[Step] = await self._threads.run(task.options.priority, guarded)
        inference_s = task.times.inference_s - before
        record = task.options.record
        record("queue", done.waited_s, done.ran_s)
        record("decode", done.ran_s - inference_s, inference_s)
        if inference_s:
            record("inference", inference_s, 0.0)
        task.times.queue_s += done.waited_s
        task.times.decode_s += done.ran_s - inference_s
        return done.value


@dataclass(slots=True)
class _Task:
    """One image of a request, and how far it has come; each method runs on a thread.

    ``begin`` answers a plain file for a model on the CPU in one go. Where it gives a cost, the
    file is not plain: it goes to a decoder, and then to ``fit``. Where either gives an image, uint8
    (1, height, width, 1), the model's outputs for it go to ``finish``. A task that does not decide
    runs no model here, and takes no digest. An image that is alone in work has every core.
    """

    predictor: Predictor
    upload: Upload
    model: ServedModel | None
    repository: ModelRepository
    options: PredictionOptions
    decides: bool = True
    sha256: str = ""
    times: StageTimes = field(default_factory=StageTimes)
    decoded: DecodedImage | None = None

    def begin(self) -> Step:
        """Read the file, and answer it where nothing else is needed for that."""
        limits = {"frame": self.options.frame, "max_pixels": self.predictor.max_pixels}
        data = self.upload.data()
        if self.decides:
            self.sha256 = hashlib.sha256(data).hexdigest()
        cost = estimate_cost(data, **limits)
        if not cost.plain:
            return cost
        radiograph = decode(data, at_least=self.hint.preprocessing.size, cost=cost, **limits)
        del data
        return self.fit(DecodedImage(radiograph, partial(preprocess, radiograph)))

    def fit(self, decoded: DecodedImage) -> Step:
        """Go on with a decoded file."""
        facts = decoded.radiograph.dicom
        if self.model is None:
            modality = facts.modality if facts else None
            self.model = self.repository.for_modality(modality, self.options.version)
        check_suitable(facts, self.model.manifest)
        _check_finding(self.options.finding, self.model.manifest)
        wanted = self.model.manifest.preprocessing
        fitted = decoded.fit(wanted)
        image = fitted[np.newaxis]
        if not self.decides:
            return image
        if self.model.batched:
            # While it waits for the accelerator, it is kept only in the sizes that are needed.
            images = {spec: decoded.fit(spec) for spec in self.specs()}
            small = replace(decoded.radiograph, pixels=NO_PIXELS)
            self.decoded = DecodedImage(small, images.__getitem__)
            return image
        self.decoded = DecodedImage(
            decoded.radiograph, lambda spec: fitted if spec == wanted else decoded.fit(spec)
        )
        alone = self.predictor.in_work == 1
        started = time.perf_counter()
        outputs = self.model.run(image, activation_map=self.options.heatmap, alone=alone)
        self.times.inference_s += time.perf_counter() - started
        return self.finish(outputs)

    def finish(self, outputs: Outputs) -> ImageResult:
        """Decide on the model's outputs, of this image alone."""
        model, decoded = self.model, self.decoded
        assert model is not None and decoded is not None, "it was fitted"  # noqa: S101, PT018
        image, manifest = replace(decoded.radiograph, pixels=NO_PIXELS), model.manifest
        quality = out_of_distribution = None
        if manifest.quality is not None:
            quality = judge(outputs[QUALITY][0], image.rows, image.columns, manifest.quality)
        drawn = self.options.heatmap
        lungs, quality = look_for_lungs(
            self.repository.segmenter, manifest, decoded.fit, quality, drawn=drawn
        )
        if manifest.out_of_distribution is not None:
            score = float(outputs[OOD_SCORE][0])
            out_of_distribution = OodResult(score=score, limit=manifest.out_of_distribution.limit)
        evidence = None
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
        heatmap = None
        if drawn:
            asked = self.options.finding
            heatmap = draw_finding(manifest, outputs, decision, lungs, image, asked)
        self.decoded = None
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
        """What is wrong with the file.

        Raises:
            DeviceLost: It is not of this file alone.
        """
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
        self.decoded = None
        return ImageFailure(self.upload.name, digest, self.times, error.with_traceback(None))

    @property
    def hint(self) -> ModelManifest:
        """Of the model whose size a JPEG may be reduced to.

        A JPEG names no modality, so it is for the default model where no other is named; what
        names one is decoded in full.
        """
        return (self.model or self.repository.get()).manifest

    def specs(self) -> tuple[PreprocessingSpec, ...]:
        """The sizes that may be wanted of the file before its modality is known."""
        models = self.repository.all() if self.model is None else (self.model,)
        found = [model.manifest.preprocessing for model in models]
        if self.repository.segmenter is not None:
            found.append(self.repository.segmenter.manifest.preprocessing)
        return tuple(dict.fromkeys(found))


def _check_finding(finding: Label | None, manifest: ModelManifest) -> None:
    if finding is not None and finding not in manifest.labels:
        known = ", ".join(manifest.labels)
        raise ServiceError(
            ProblemType.INVALID_PARAMETER,
            f"explain: the model {manifest.name} has no finding {finding}. It has: {known}.",
        )
