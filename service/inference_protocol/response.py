"""The answers of the protocol: metadata, and the outputs of an inference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from contract.manifest import ModelManifest, Precision, TensorSpec
from service.inference_protocol.framing import join_body
from service.inference_protocol.request import RequestedOutput

EXTENSIONS = ("binary_tensor_data",)
PLATFORM = "onnxruntime_onnx"
_DATATYPES = {"uint8": "UINT8", "float32": "FP32"}
# Binary data is little-endian, whatever the machine is.
_FP32 = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class InferenceBody:
    """The body of an answer. ``header_length`` is that of the JSON, None where there is no more."""

    content: bytes
    header_length: int | None


def server_metadata(name: str, version: str) -> bytes:
    """Describe the server."""
    return orjson.dumps({"name": name, "version": version, "extensions": EXTENSIONS})


def model_metadata(manifest: ModelManifest, versions: Sequence[int]) -> bytes:
    """Describe a model.

    Args:
        manifest: Of the version that is asked for.
        versions: All that are served.
    """
    body = {
        "name": manifest.name,
        "versions": [str(version) for version in versions],
        "platform": PLATFORM,
        "inputs": [_tensor(tensor) for tensor in manifest.signature.inputs],
        "outputs": [_tensor(tensor) for tensor in manifest.signature.outputs],
    }
    return orjson.dumps(body)


def inference_answer(
    manifest: ModelManifest,
    request_id: str | None,
    wanted: Sequence[RequestedOutput],
    outputs: Mapping[str, NDArray[np.float32]],
    precision: Precision,
) -> InferenceBody:
    """Write the answer to an inference request.

    Args:
        manifest: Of the model that ran.
        request_id: The identifier that the request came with.
        wanted: Which outputs are written, in which order and form.
        outputs: float32 (batch, ...), all that are wanted.
        precision: Of the file that ran.
    """
    described, tensors = [], []
    for output in wanted:
        array = outputs[output.name]
        tensor: dict[str, object] = {"name": output.name, "datatype": "FP32", "shape": array.shape}
        if output.binary:
            tensors.append(array.astype(_FP32, copy=False).tobytes())
            tensor["parameters"] = {"binary_data_size": array.nbytes}
        else:
            tensor["data"] = np.ascontiguousarray(array).reshape(-1)
        described.append(tensor)
    body = {
        "model_name": manifest.name,
        "model_version": str(manifest.version),
        **({} if request_id is None else {"id": request_id}),
        "parameters": {"precision": precision},
        "outputs": described,
    }
    content = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return InferenceBody(join_body(content, tensors), len(content) if tensors else None)


def _tensor(spec: TensorSpec) -> dict[str, object]:
    # An axis that has a name instead of a size may have any.
    shape = [size if isinstance(size, int) else -1 for size in spec.shape]
    return {"name": spec.name, "datatype": _DATATYPES[spec.dtype], "shape": shape}
