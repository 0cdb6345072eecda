"""Runs a model on the images of a request. It knows no HTTP.

There is no decision and no check of the image's quality: a client that asks for tensors decides for
itself.
"""

import asyncio
from collections.abc import Coroutine, Sequence

import numpy as np
from numpy.typing import NDArray

from contract.errors import ImageError
from contract.manifest import OOD_SCORE
from service.inference_protocol.requests import IMAGE, InferenceRequest
from service.prediction import StageTimes
from service.predictor import Predictor
from service.session import ModelOutput, ServedModel
from service.tracing import NO_TRACE, RequestTrace

ACTIVATION_MAP = "activation_map"
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
    outputs, times = zip(*await _all_or_none(answers), strict=True)
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


async def _all_or_none(answers: Sequence[Coroutine[None, None, Answer]]) -> list[Answer]:
    """Wait for all; when one fails, nobody wants the others any more."""
    tasks = [asyncio.create_task(answer) for answer in answers]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _batched(outputs: Sequence[ModelOutput]) -> dict[str, NDArray[np.float32]]:
    """Concatenate the outputs of single images, those that the graph has."""
    columns: dict[str, list[NDArray[np.float32] | None]] = {
        "probabilities": [output.probabilities for output in outputs],
        "logits": [output.logits for output in outputs],
        ACTIVATION_MAP: [output.activation_map for output in outputs],
        OOD_SCORE: [output.ood_scores for output in outputs],
    }
    return {
        name: np.concatenate(present)
        for name, column in columns.items()
        if (present := [part for part in column if part is not None])
    }
