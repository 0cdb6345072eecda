"""``/v2``: the Open Inference Protocol, for any client that speaks it.

The protocol has an OpenAPI document of its own, so these routes are not in this service's.

Source: Open Inference Protocol, HTTP/REST, version 2; NVIDIA Triton, its extensions.
"""

import asyncio
import re
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response

from service.auth import Requires
from service.domain import ACTIVATION_MAP, ServedModel
from service.errors import FileFailed, InferenceFailed, ProblemType, ServiceError
from service.inference_protocol.requests import HEADER_LENGTH, parse_request
from service.inference_protocol.responses import (
    SERVER_METADATA,
    inference_response,
    model_configuration,
    model_metadata,
    model_statistics,
)
from service.logs import log_failure
from service.problems import INFERENCE_PROTOCOL, request_id_of
from service.runtime import runtime_of
from service.schemas import PredictQuery
from service.tracing import trace_of
from service.trail import outputs_of
from service.uploads import body_of

_NUMBER = re.compile("[0-9]{1,18}")
Json = dict[str, Any]


def served_model(request: Request) -> ServedModel:
    """The model that the path names: the named version, or the latest.

    Raises:
        ServiceError: There is no such model or version, or ``Runtime.predictor`` raises it.
    """
    repository = runtime_of(request).predictor().repository
    name, version = request.path_params["name"], request.path_params.get("version")
    if version is None:
        return repository.get(name)
    if not _NUMBER.fullmatch(version):
        raise ServiceError(ProblemType.UNKNOWN_MODEL, "The version of a model is a number.")
    return repository.get(name, int(version))


Model = Annotated[ServedModel, Depends(served_model)]
router = APIRouter(prefix=INFERENCE_PROTOCOL, include_in_schema=False)
of_model = APIRouter()
PATHS_OF_A_MODEL = ("/models/{name}", "/models/{name}/versions/{version}")
_may_read = [Depends(Requires("read"))]
_may_predict = [Depends(Requires("predict"))]


@router.get("/health/live")
async def server_live(request: Request) -> Json:
    """Say what ``/health/live`` does."""
    await runtime_of(request).device.check()
    return {"live": True}


@router.get("/health/ready")
async def server_ready(request: Request) -> Json:
    """Say what ``/health/ready`` does."""
    await runtime_of(request).check_ready()
    return {"ready": True}


@router.get("", dependencies=_may_read)
async def server() -> Json:
    """Describe the server."""
    return SERVER_METADATA


@router.get("/models/stats", dependencies=_may_read)
async def all_statistics(request: Request) -> Json:
    """Count what every model has answered."""
    runtime = runtime_of(request)
    models = runtime.predictor().repository.all()
    return await asyncio.to_thread(model_statistics, models, runtime.metrics)


@of_model.get("", dependencies=_may_read)
async def metadata(request: Request, model: Model) -> Json:
    """Describe a model."""
    versions = runtime_of(request).predictor().repository.versions(model.manifest.name)
    return model_metadata(model.manifest, [each.manifest.version for each in versions])


@of_model.get("/ready", dependencies=_may_read)
async def model_ready(request: Request, model: Model) -> Json:
    """Say that the service answers for a model."""
    await runtime_of(request).device.check()
    return {"name": model.manifest.name, "ready": True}


@of_model.get("/config", dependencies=_may_read)
async def configuration(request: Request, model: Model) -> Json:
    """Describe a model as its configuration for Triton does."""
    return model_configuration(model.manifest, runtime_of(request).settings.max_files)


@of_model.get("/stats", dependencies=_may_read)
async def statistics(request: Request, model: Model) -> Json:
    """Count what a model has answered."""
    metrics = runtime_of(request).metrics
    return await asyncio.to_thread(model_statistics, [model], metrics)


@of_model.post("/infer", dependencies=_may_predict)
async def infer(request: Request) -> Response:
    """Run a model on images, and answer with the outputs of its graph."""
    runtime, trace = runtime_of(request), trace_of(request.scope)
    # Before the body is read, because a refusal would make the upload pointless.
    model = served_model(request)
    manifest = model.manifest
    runtime.admission.check()
    chunks = [chunk async for chunk in body_of(request)]
    header_length, most = request.headers.get(HEADER_LENGTH), runtime.settings.max_files
    # A large body would hold up the event loop.
    asked = await asyncio.to_thread(
        lambda: parse_request(b"".join(chunks), header_length, manifest, most)
    )
    chunks.clear()
    explain: Literal["heatmap", "none"] = "heatmap" if ACTIVATION_MAP in asked.outputs else "none"
    query = PredictQuery(explain=explain, priority=asked.priority)
    started = time.perf_counter()
    async with runtime.admitted(request, len(asked.images)):
        try:
            predictor = runtime.predictor()
            outputs, times = await predictor.infer(model, asked.images, query, trace.stage)
        except (InferenceFailed, FileFailed) as error:
            if isinstance(error, InferenceFailed):
                runtime.metrics.failed(model, time.perf_counter() - started)
            log_failure(runtime.log, error, request_id_of(request.scope))
            raise
    answered = time.perf_counter()
    if runtime.trail is not None:
        spent_ms = round((answered - started) * 1000, 3)
        records = await asyncio.to_thread(outputs_of, request, model, asked.images, spent_ms)
        await runtime.trail.write(*records)
    response = inference_response(manifest, asked, outputs, model.precision)
    encode_s = time.perf_counter() - answered
    trace.stage("encode", encode_s)
    probabilities = outputs["probabilities"].tolist()
    runtime.metrics.inference(model, times, probabilities, answered - started, encode_s)
    return response


for path in PATHS_OF_A_MODEL:
    router.include_router(of_model, prefix=path)
