"""Runs a model on the images of a request. It knows no HTTP.

There is no decision and no check of the image's quality: a client that asks for tensors decides for
itself.
"""

import asyncio

import numpy as np
from numpy.typing import NDArray

from contract.errors import ImageError
from service.domain import (
    ACTIVATION_MAP,
    Outputs,
    PredictionOptions,
    Record,
    ServedModel,
    StageTimes,
    ignore,
)
from service.inference_protocol.requests import IMAGE, InferenceRequest
from service.predictor import Predictor


async def run_inference(
    predictor: Predictor, model: ServedModel, request: InferenceRequest, record: Record = ignore
) -> tuple[dict[str, NDArray[np.float32]], list[StageTimes]]:
    """Run a model on every image of a request; the failure of one fails the request.

    Each image joins the queue of ``/predict`` by itself, so it can share a batch with others.
    ``record`` hears of the stages, as that of PredictionOptions.

    Returns:
        float32 (batch, ...) by the names of the graph's outputs, and what each image took.

    Raises:
        ImageError: A file is no image, or the model does not take it.
        FileFailed: A file met an unforeseen error.
        InferenceFailed: The model did not run.
        DeviceLost: The accelerator does not run any more.
    """
    options = PredictionOptions(
        heatmap=ACTIVATION_MAP in request.outputs, priority=request.priority, record=record
    )

    async def infer(index: int) -> tuple[Outputs, StageTimes]:
        images = request.images
        image = images[index : index + 1] if isinstance(images, np.ndarray) else images[index]
        try:
            return await predictor.infer(model, image, options)
        except ImageError as error:
            raise type(error)(f"{IMAGE}[{index}]: {error}") from None

    tasks = [asyncio.create_task(infer(index)) for index in range(len(request.images))]
    try:
        outputs, times = zip(*await asyncio.gather(*tasks), strict=True)
    finally:
        # When one fails, nobody wants the others any more.
        for task in tasks:
            task.cancel()
    arrays = {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}
    return arrays, list(times)
