"""The use case: the bytes of images in, a prediction for each out. It knows no HTTP."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from contract.decision import Decision, Familiarity, decide
from contract.manifest import ModelManifest
from service.errors import FileFailed, InferenceFailed, OutOfMemory, ServiceError
from service.executors import Priority, PriorityExecutor
from service.heatmap import Heatmap, draw_heatmap
from service.prediction import (
    Answer,
    Prediction,
    PredictionOptions,
    Rejection,
    StageTimes,
    Upload,
)
from service.reading import Reader, Reading, Unreadable
from service.repository import ModelRepository, ServedModel
from service.telemetry import where


class Predictor:
    """Reads images and runs models, each on threads of its own."""

    def __init__(
        self,
        repository: ModelRepository,
        decoding: PriorityExecutor,
        inference: PriorityExecutor,
        max_pixels: int,
    ) -> None:
        """Take the parts.

        Args:
            repository: The models.
            decoding: Threads for decoding and drawing.
            inference: Threads for running models.
            max_pixels: The largest image, as its header says.
        """
        self.repository = repository
        self._reader = Reader(repository, max_pixels)
        self._decoding = decoding
        self._inference = inference

    async def predict(self, uploads: Sequence[Upload], options: PredictionOptions) -> Prediction:
        """Read every file and answer it; one that fails does not hold up the others.

        One model answers a whole request: the named one, or the one that suits the first file that
        can be read.

        Raises:
            UnknownModel: There is no such model or version.
            DeviceLost: The accelerator does not run any more.
        """
        started = time.perf_counter()
        model = self._named(options) if options.model is not None else None
        waiting = iter(uploads)
        results: list[Answer | Rejection] = []
        while model is None and (upload := next(waiting, None)) is not None:
            result = await self._one(upload, None, options)
            results.append(result)
            model = result.model if isinstance(result, Answer) else None
        results += await asyncio.gather(*(self._one(each, model, options) for each in waiting))
        return Prediction(
            model=model or self._named(options),
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
        await self._inference.run(Priority.STAT, partial(model.session.run, blank))

    def close(self) -> None:
        """Finish what is queued, then stop the threads."""
        self._decoding.close()
        self._inference.close()

    async def _one(
        self, upload: Upload, model: ServedModel | None, options: PredictionOptions
    ) -> Answer | Rejection:
        try:
            return await self._read_and_answer(upload, model, options)
        except ServiceError:
            # It is not of this file alone.
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other files are answered
            failure = _file_failed(error)
        # Only now, when the traceback has let go of what it held.
        digest = await self._decoding.run(options.priority, upload.sha256)
        return Rejection(upload.name, digest.value, StageTimes(), failure)

    async def _read_and_answer(
        self, upload: Upload, model: ServedModel | None, options: PredictionOptions
    ) -> Answer | Rejection:
        read = await self._decoding.run(
            options.priority, partial(self._reader.read, upload, model, options)
        )
        times = StageTimes(decode_s=read.ran_s, queue_s=read.waited_s)
        if isinstance(reading := read.value, Unreadable):
            return Rejection(upload.name, reading.sha256, times, reading.error)
        try:
            return await self._answer(upload, reading, times, options)
        except InferenceFailed as error:
            return Rejection(upload.name, reading.sha256, times, error)

    async def _answer(
        self, upload: Upload, reading: Reading, times: StageTimes, options: PredictionOptions
    ) -> Answer:
        model = reading.model
        run = await self._inference.run(
            options.priority,
            partial(model.session.run, reading.image, activation_map=options.heatmap),
        )
        times += StageTimes(queue_s=run.waited_s, inference_s=run.ran_s)
        probabilities, maps = run.value.probabilities[0], run.value.activation_map
        familiarity = _familiarity(model.manifest, run.value.ood_scores)
        decision = decide(
            model.manifest.labels,
            probabilities.tolist(),
            model.manifest.operating_points,
            quality=reading.quality,
            familiarity=familiarity,
        )
        heatmap = None
        if maps is not None:
            draw = partial(_draw, reading, decision, probabilities, maps[0])
            heatmap = (await self._decoding.run(options.priority, draw)).value
        return Answer(
            name=upload.name,
            sha256=reading.sha256,
            times=times,
            model=model,
            probabilities=probabilities,
            decision=decision,
            quality=reading.quality,
            familiarity=familiarity,
            heatmap=heatmap,
        )

    def _named(self, options: PredictionOptions) -> ServedModel:
        return self.repository.get(options.model, options.version)


def _familiarity(manifest: ModelManifest, scores: NDArray[np.float32] | None) -> Familiarity | None:
    """Of the only image of a batch."""
    limits = manifest.out_of_distribution
    if limits is None or scores is None:
        return None
    return Familiarity(score=float(scores[0]), limit=limits.limit)


def _file_failed(error: Exception) -> FileFailed:
    kind = type(error).__name__
    if isinstance(error, MemoryError):
        return OutOfMemory("Try again later, or send a smaller image.", kind, where(error))
    return FileFailed("The file could not be read.", kind, where(error))


def _draw(
    reading: Reading,
    decision: Decision,
    probabilities: NDArray[np.float32],
    activation_map: NDArray[np.float32],
) -> Heatmap:
    """Draw the decided finding, or the most probable one where the image is referred."""
    manifest = reading.model.manifest
    label = decision.label or manifest.labels[int(np.argmax(probabilities))]
    index = manifest.labels.index(label)
    activation = np.ascontiguousarray(activation_map[..., index])
    scale = manifest.findings[index].activation_scale
    return draw_heatmap(activation, scale, label, reading.rows, reading.columns)
