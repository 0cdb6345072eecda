"""The use case of the inference protocol: images in, the outputs of a model's graph out.

It knows no HTTP. There is no decision in it, and no check of the image's quality: whoever asks for
tensors decides for themselves.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import ImageError
from contract.manifest import OOD_SCORE
from service.inference_protocol.request import IMAGE, InferenceRequest
from service.prediction import StageTimes
from service.predictor import Predictor
from service.session import ModelOutput, ServedModel
from service.tracing import NO_TRACE, RequestTrace

ACTIVATION_MAP = "activation_map"
Answer = tuple[ModelOutput, StageTimes]


@dataclass(frozen=True, slots=True)
class Inference:
    """What a model says of the images of one request.

    ``outputs`` are float32 (batch, ...), by the names that the graph gives them. ``times`` has what
    was spent on each image; ``total_s`` is by the clock on the wall.
    """

    model: ServedModel
    outputs: Mapping[str, NDArray[np.float32]]
    times: tuple[StageTimes, ...]
    total_s: float


async def run_inference(
    predictor: Predictor,
    model: ServedModel,
    request: InferenceRequest,
    trace: RequestTrace = NO_TRACE,
) -> Inference:
    """Run a model on every image of a request; one that fails fails the request.

    The images go through the same queue as those of ``/predict``, each for itself, so that those of
    several requests can share a batch.

    Raises:
        ImageError: A file is no image, or none that the model takes.
        FileFailed: A file met an error that nobody foresaw.
        InferenceFailed: The model did not run.
        DeviceLost: The accelerator does not run any more.
    """
    started = time.perf_counter()
    answers = await _all_or_none(
        [_one(predictor, model, request, index, trace) for index in range(len(request.images))]
    )
    said, times = zip(*answers, strict=True)
    return Inference(model, _batched(said), times, time.perf_counter() - started)


async def _one(
    predictor: Predictor,
    model: ServedModel,
    request: InferenceRequest,
    index: int,
    trace: RequestTrace,
) -> Answer:
    activation_map = ACTIVATION_MAP in request.wanted
    if isinstance(request.images, np.ndarray):
        run = await predictor.infer(
            model,
            request.images[index : index + 1],
            request.priority,
            activation_map=activation_map,
            trace=trace,
        )
        trace.stage("queue", run.waited_s, run.ran_s)
        trace.stage("inference", run.ran_s)
        return run.value, StageTimes(queue_s=run.waited_s, inference_s=run.ran_s)
    try:
        return await predictor.infer_file(
            model,
            request.images[index],
            request.priority,
            activation_map=activation_map,
            trace=trace,
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


def _batched(said: Sequence[ModelOutput]) -> dict[str, NDArray[np.float32]]:
    """Put what was said of single images together again."""
    arrays: dict[str, list[NDArray[np.float32] | None]] = {
        "probabilities": [output.probabilities for output in said],
        "logits": [output.logits for output in said],
        ACTIVATION_MAP: [output.activation_map for output in said],
        OOD_SCORE: [output.ood_scores for output in said],
    }
    return {
        name: np.concatenate(present)
        for name, parts in arrays.items()
        if (present := [part for part in parts if part is not None])
    }
