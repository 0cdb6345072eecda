"""The answers of the protocol: metadata, model configuration, statistics, and tensors.

Source: Open Inference Protocol, HTTP/REST; NVIDIA Triton, extensions for binary tensor data, model
configuration and statistics.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import orjson
from fastapi import Response
from numpy.typing import NDArray

from contract.manifest import ModelManifest, Precision, TensorSpec
from service import __version__
from service.domain import ServedModel
from service.inference_protocol.requests import HEADER_LENGTH, InferenceRequest
from service.metrics import Metrics

_DATATYPES = {"uint8": "UINT8", "float32": "FP32"}
# Binary data is little-endian on every machine.
_FP32 = np.dtype("<f4")
_STAGES = {
    "success": "total",
    "queue": "queue",
    "compute_input": "decode",
    "compute_infer": "inference",
    "compute_output": "encode",
}

SERVER_METADATA = {
    "name": "pneumoscope",
    "version": __version__,
    "extensions": ["binary_tensor_data", "model_configuration", "statistics"],
}


def model_metadata(manifest: ModelManifest, versions: Sequence[int]) -> dict[str, object]:
    """Describe the inputs and outputs of a model, and name all served versions."""
    return {
        "name": manifest.name,
        "versions": [str(version) for version in versions],
        "platform": "onnxruntime_onnx",
        "inputs": [_tensor(tensor) for tensor in manifest.signature.inputs],
        "outputs": [_tensor(tensor) for tensor in manifest.signature.outputs],
    }


def model_configuration(manifest: ModelManifest, max_images: int) -> dict[str, object]:
    """Describe a model as Triton's model configuration does; the batch axis is left out."""
    return {
        "name": manifest.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": {"all": {}},
        "max_batch_size": max_images,
        "input": [_configured(tensor) for tensor in manifest.signature.inputs],
        "output": [_configured(tensor) for tensor in manifest.signature.outputs],
    }


def model_statistics(models: Sequence[ServedModel], metrics: Metrics) -> dict[str, object]:
    """Count the images of each model, and sum up their times, since the service started."""
    values = metrics.values()
    return {"model_stats": [_statistics(model, values) for model in models]}


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
        tensor: dict[str, object] = {"name": name, "datatype": "FP32", "shape": array.shape}
        if binary:
            tensors.append(array.astype(_FP32, copy=False).tobytes())
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
        return Response(content, media_type="application/json")
    headers = {HEADER_LENGTH: str(len(content))}
    return Response(b"".join((content, *tensors)), 200, headers, "application/octet-stream")


def _tensor(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": _DATATYPES[spec.dtype], "shape": _sizes(spec)}


def _configured(spec: TensorSpec) -> dict[str, object]:
    data_type = f"TYPE_{_DATATYPES[spec.dtype]}"
    return {"name": spec.name, "data_type": data_type, "dims": _sizes(spec)[1:]}


def _sizes(spec: TensorSpec) -> list[int]:
    """The shape; an axis with a name instead of a size is -1, any size."""
    return [size if isinstance(size, int) else -1 for size in spec.shape]


def _statistics(
    model: ServedModel, values: Mapping[tuple[str, frozenset[tuple[str, str]]], float]
) -> dict[str, object]:
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
