"""Runs a model on the images of a request. It knows no HTTP.

There is no decision and no check of the image's quality: a client that asks for tensors decides for
itself.
"""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.errors import ImageError
from contract.manifest import OOD_SCORE, SOURCE_DISTANCE
from service.inference_protocol.requests import IMAGE, InferenceRequest
from service.prediction import StageTimes
from service.predictor import Predictor
from service.session import QUALITY, ModelOutput, ServedModel
from service.tracing import NO_TRACE, RequestTrace

ACTIVATION_MAP = "activation_map"
_FIELDS = {
    "probabilities": "probabilities",
    "logits": "logits",
    ACTIVATION_MAP: "activation_map",
    OOD_SCORE: "ood_scores",
    QUALITY: "quality",
    SOURCE_DISTANCE: "source_distances",
}
Answer = tuple[ModelOutput, StageTimes]


async def run_inference(
    predictor: Predictor,
    model: ServedModel,
    request: InferenceRequest,
    trace: RequestTrace = NO_TRACE,
) -> tuple[dict[str, NDArray[np.float32]], list[StageTimes]]:
    """Run a model on every image of a request; the failure of one fails the request.

    Each image joins the queue of ``/predict`` by itself, so it can share a batch with others.

    Returns:
        float32 (batch, ...) by the names of the graph's outputs, and what each image took.

    Raises:
        ImageError: A file is no image, or the model does not take it.
        FileFailed: A file met an unforeseen error.
        InferenceFailed: The model did not run.
        DeviceLost: The accelerator does not run any more.
    """
    count = len(request.images)
    answers = [_infer(predictor, model, request, index, trace) for index in range(count)]
    tasks = [asyncio.create_task(answer) for answer in answers]
    try:
        outputs, times = zip(*await asyncio.gather(*tasks), strict=True)
    finally:
        # When one fails, nobody wants the others any more.
        for task in tasks:
            task.cancel()
    return _batched(outputs), list(times)


async def _infer(
    predictor: Predictor,
    model: ServedModel,
    request: InferenceRequest,
    index: int,
    trace: RequestTrace,
) -> Answer:
    wants_map = any(output.name == ACTIVATION_MAP for output in request.outputs)
    images, priority = request.images, request.priority
    if isinstance(images, np.ndarray):
        image = images[index : index + 1]
        run = await predictor.infer(model, image, priority, activation_map=wants_map)
        trace.stage("queue", run.waited_s, run.ran_s)
        trace.stage("inference", run.ran_s)
        return run.value, StageTimes(queue_s=run.waited_s, inference_s=run.ran_s)
    try:
        return await predictor.infer_file(
            model, images[index], priority, activation_map=wants_map, trace=trace
        )
    except ImageError as error:
        raise type(error)(f"{IMAGE}[{index}]: {error}") from None


def _batched(outputs: Sequence[ModelOutput]) -> dict[str, NDArray[np.float32]]:
    """Concatenate the outputs of single images, those that the graph has."""
    return {
        name: np.concatenate([getattr(output, field) for output in outputs])
        for name, field in _FIELDS.items()
        if getattr(outputs[0], field) is not None
    }
