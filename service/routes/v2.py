"""``/v2``: the Open Inference Protocol, for any client that speaks it.

The protocol has an OpenAPI document of its own, so these routes are not in this service's.

Source: Open Inference Protocol, HTTP/REST, version 2; NVIDIA Triton, its extensions for binary
tensor data, model configuration and statistics.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import APIRouter, Depends, Request, Response
from numpy.typing import NDArray

from contract.manifest import ModelManifest, Precision, TensorSpec
from service import __version__
from service.auth import Requires
from service.domain import ACTIVATION_MAP, PROBABILITIES, ServedModel
from service.errors import FileFailed, InferenceFailed, ProblemType, ServiceError
from service.headers import JSON
from service.inference_protocol import HEADER_LENGTH, InferenceRequest, parse_request
from service.logs import log_failure
from service.problems import INFERENCE_PROTOCOL, request_id_of
from service.runtime import Runtime, runtime_of
from service.schemas import PredictQuery
from service.tracing import trace_of
from service.trail import outputs_of
from service.uploads import body_of

Json = dict[str, Any]
PATHS_OF_A_MODEL = ("/models/{name}", "/models/{name}/versions/{version}")
_DATATYPES = {"uint8": "UINT8", "float32": "FP32"}
# Of Triton's statistics, the stage that each is of.
_STAGES = {
    "success": "total",
    "queue": "queue",
    "compute_input": "decode",
    "compute_infer": "inference",
    "compute_output": "encode",
}
_may_read = [Depends(Requires("read"))]
_may_predict = [Depends(Requires("predict"))]


def served_model(request: Request) -> ServedModel:
    """The model that the path names, in the named version or the latest; or ServiceError."""
    repository = runtime_of(request).predictor().repository
    name, version = request.path_params["name"], request.path_params.get("version")
    if version is None:
        return repository.get(name)
    if not re.fullmatch("[0-9]{1,18}", version):
        raise ServiceError(ProblemType.UNKNOWN_MODEL, "The version of a model is a number.")
    return repository.get(name, int(version))


Model = Annotated[ServedModel, Depends(served_model)]
router = APIRouter(prefix=INFERENCE_PROTOCOL, include_in_schema=False)
of_model = APIRouter()


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
    return {
        "name": "pneumoscope",
        "version": __version__,
        "extensions": ["binary_tensor_data", "model_configuration", "statistics"],
    }


@router.get("/models/stats", dependencies=_may_read)
async def all_statistics(request: Request) -> Json:
    """Count what every model has answered."""
    runtime = runtime_of(request)
    return await _statistics(runtime, *runtime.predictor().repository.all())


@of_model.get("", dependencies=_may_read)
async def metadata(request: Request, model: Model) -> Json:
    """Describe the inputs and outputs of a model, and name all served versions."""
    manifest = model.manifest
    versions = runtime_of(request).predictor().repository.versions(manifest.name)
    return {
        "name": manifest.name,
        "versions": [str(each.manifest.version) for each in versions],
        "platform": "onnxruntime_onnx",
        "inputs": [_tensor(tensor) for tensor in manifest.signature.inputs],
        "outputs": [_tensor(tensor) for tensor in manifest.signature.outputs],
    }


@of_model.get("/ready", dependencies=_may_read)
async def model_ready(request: Request, model: Model) -> Json:
    """Say that the service answers for a model."""
    await runtime_of(request).device.check()
    return {"name": model.manifest.name, "ready": True}


@of_model.get("/config", dependencies=_may_read)
async def configuration(request: Request, model: Model) -> Json:
    """Describe a model as Triton's model configuration does; the batch axis is left out."""
    return {
        "name": model.manifest.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": {"all": {}},
        "max_batch_size": runtime_of(request).settings.max_files,
        "input": [_configured(tensor) for tensor in model.manifest.signature.inputs],
        "output": [_configured(tensor) for tensor in model.manifest.signature.outputs],
    }


@of_model.get("/stats", dependencies=_may_read)
async def statistics(request: Request, model: Model) -> Json:
    """Count what a model has answered."""
    return await _statistics(runtime_of(request), model)


@of_model.post("/infer", dependencies=_may_predict)
async def infer(request: Request) -> Response:
    """Run a model on images, and answer with the outputs of its graph."""
    runtime, trace = runtime_of(request), trace_of(request.scope)
    # Before the body is read, because a refusal would make the upload pointless.
    model = served_model(request)
    runtime.admission.check()
    chunks = [chunk async for chunk in body_of(request)]
    header_length, most = request.headers.get(HEADER_LENGTH), runtime.settings.max_files
    # A large body would hold up the event loop.
    asked = await asyncio.to_thread(
        lambda: parse_request(b"".join(chunks), header_length, model.manifest, most)
    )
    chunks.clear()
    query = PredictQuery(
        explain="heatmap" if ACTIVATION_MAP in asked.outputs else "none", priority=asked.priority
    )
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
    response = inference_response(model.manifest, asked, outputs, model.precision)
    encode_s = time.perf_counter() - answered
    trace.stage("encode", encode_s)
    probabilities = outputs[PROBABILITIES].tolist()
    runtime.metrics.inference(model, times, probabilities, answered - started, encode_s)
    return response


for path in PATHS_OF_A_MODEL:
    router.include_router(of_model, prefix=path)


def inference_response(
    manifest: ModelManifest,
    request: InferenceRequest,
    outputs: Mapping[str, NDArray[np.float32]],
    precision: Precision,
) -> Response:
    """Answer a request with the outputs that it wants, float32 (batch, ...) by name."""
    described, tensors = [], []
    for name, binary in request.outputs.items():
        array = outputs[name]
        tensor: Json = {"name": name, "datatype": "FP32", "shape": array.shape}
        if binary:
            # Binary data is little-endian on every machine.
            tensors.append(array.astype("<f4", copy=False).tobytes())
            tensor["parameters"] = {"binary_data_size": array.nbytes}
        else:
            tensor["data"] = np.ascontiguousarray(array).reshape(-1)
        described.append(tensor)
    body = {
        "model_name": manifest.name,
        "model_version": str(manifest.version),
        **({} if request.id is None else {"id": request.id}),
        "parameters": {"precision": precision},
        "outputs": described,
    }
    content = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tensors:
        return Response(content, media_type=JSON)
    headers = {HEADER_LENGTH: str(len(content))}
    return Response(b"".join((content, *tensors)), 200, headers, "application/octet-stream")


def _tensor(spec: TensorSpec) -> Json:
    # An axis with a name instead of a size is of any size.
    shape = [size if isinstance(size, int) else -1 for size in spec.shape]
    return {"name": spec.name, "datatype": _DATATYPES[spec.dtype], "shape": shape}


def _configured(spec: TensorSpec) -> Json:
    tensor = _tensor(spec)
    data_type = f"TYPE_{tensor['datatype']}"
    return {"name": spec.name, "data_type": data_type, "dims": tensor["shape"][1:]}


async def _statistics(runtime: Runtime, *models: ServedModel) -> Json:
    """Count the images of each model, and sum up their times, since the service started."""
    values = await asyncio.to_thread(runtime.metrics.values)
    return {"model_stats": [_statistics_of(model, values) for model in models]}


def _statistics_of(
    model: ServedModel, values: Mapping[tuple[str, frozenset[tuple[str, str]]], float]
) -> Json:
    name, version = model.manifest.name, str(model.manifest.version)
    named = {"model": name, "version": version}

    def value(sample: str, **labels: str) -> float:
        return values.get((f"pneumoscope_{sample}", frozenset((named | labels).items())), 0.0)

    def spent(sample: str, **labels: str) -> dict[str, int]:
        seconds = value(f"{sample}_sum", **labels)
        return {"count": int(value(f"{sample}_count", **labels)), "ns": int(seconds * 1e9)}

    provider = model.session.provider
    stages = {
        field: spent("stage_seconds", stage=stage, provider=provider)
        for field, stage in _STAGES.items()
    }
    images = stages["compute_infer"]["count"]
    # A model that gains nothing from batches runs once for each image.
    batches = int(value("batch_size_count", provider=provider))
    return {
        "name": name,
        "version": version,
        "last_inference": int(value("last_inference_timestamp_seconds") * 1000),
        "inference_count": images,
        "execution_count": batches or images,
        "inference_stats": {**stages, "fail": spent("failed_inference_seconds")},
    }
