"""From a file that was read to its answer: model, decision, gates, pictures."""

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from contract.decision import Decision, Familiarity, decide
from contract.lungs import lung_mask, share_inside
from contract.manifest import ModelManifest
from service.errors import InferenceFailed, without_tracebacks
from service.heatmap import Heatmap, draw_heatmap
from service.lungs import draw_lungs
from service.prediction import Answer, PredictionOptions, Rejection, StageTimes, Upload
from service.reading import Pending, Reader, Reading, Unreadable
from service.repository import ServedModel
from service.session import ModelOutput
from service.stages import Stages

MOST_PIXEL_BYTES = 4 * 1024 * 1024
"""A radiograph with more is answered at a stretch: in step, several would be in memory together,
which files of a few kilobytes can ask for."""


def make_answer(
    name: str | None, reading: Reading, output: ModelOutput, times: StageTimes
) -> Answer:
    """Decide on an image, and draw heatmap and lungs where the model gave the map for it.

    Args:
        name: The client's name for the file.
        reading: The file as it was read.
        output: Of this image alone, batch size 1.
        times: What has been spent on it.
    """
    manifest, probabilities = reading.model.manifest, output.probabilities[0]
    familiarity = _familiarity(manifest, output.ood_scores)
    decision = decide(
        manifest.labels,
        probabilities.tolist(),
        manifest.operating_points,
        quality=reading.quality,
        familiarity=familiarity,
    )
    heatmap = lungs = None
    if output.activation_map is not None:
        heatmap = _draw(reading, decision, probabilities, output.activation_map[0])
        if reading.lungs is not None:
            lungs = draw_lungs(reading.lungs, reading.rows, reading.columns)
    return Answer(
        name=name,
        sha256=reading.sha256,
        times=times,
        model=reading.model,
        probabilities=probabilities,
        decision=decision,
        quality=reading.quality,
        familiarity=familiarity,
        heatmap=heatmap,
        lungs=lungs,
    )


def read_and_answer(
    upload: Upload, model: ServedModel | None, reader: Reader, options: PredictionOptions
) -> Stages[Answer | Rejection | Pending]:
    """Read a file and, where its model runs single images on the CPU, answer it at once.

    All on one thread: each change of threads would cost a share of what a small model takes.

    Args:
        upload: The file.
        model: The model; None chooses by the file.
        reader: Of the served models.
        options: Of the request.

    Returns:
        Pending where the model runs elsewhere: in batches, or on an accelerator.

    Raises:
        UnknownModel: The chosen model has no such version.
    """
    watch = time.perf_counter()
    fitted = reader.read(upload, model, options)
    decode_s = time.perf_counter() - watch
    if isinstance(fitted, Unreadable):
        return Rejection(upload.name, fitted.sha256, StageTimes(decode_s), fitted.error)
    at_a_stretch = fitted.radiograph.pixels.nbytes > MOST_PIXEL_BYTES
    if not at_a_stretch:
        yield
    watch = time.perf_counter()
    reading = reader.assess(fitted, lungs_drawn=options.heatmap)
    # Its pixels are many times those of what is left.
    del fitted
    times = StageTimes(decode_s + time.perf_counter() - watch)
    if isinstance(reading, Unreadable):
        return Rejection(upload.name, reading.sha256, times, reading.error)
    if reading.model.queued:
        return Pending(reading, times)
    if not at_a_stretch:
        yield
    watch = time.perf_counter()
    try:
        output = reading.model.session.run(reading.image, activation_map=options.heatmap)
    except InferenceFailed as error:
        return Rejection(upload.name, reading.sha256, times, without_tracebacks(error))
    times += StageTimes(inference_s=time.perf_counter() - watch)
    # No stage of its own: a slow model's answer must not wait for those of others.
    return make_answer(upload.name, reading, output, times)


def _familiarity(manifest: ModelManifest, scores: NDArray[np.float32] | None) -> Familiarity | None:
    limits = manifest.out_of_distribution
    if limits is None or scores is None:
        return None
    return Familiarity(score=float(scores[0]), limit=limits.limit)


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
    heatmap = draw_heatmap(activation, scale, label, reading.rows, reading.columns)
    if reading.lungs is None:
        return heatmap
    mask = lung_mask(reading.lungs, reading.lungs.shape)
    return replace(heatmap, inside_lungs=share_inside(activation, mask))
