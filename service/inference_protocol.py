"""An inference request: the images for one model, and the outputs that the client wants.

The body is JSON. With the header Inference-Header-Content-Length binary data follows the JSON.

Source: Open Inference Protocol, HTTP/REST; NVIDIA Triton, binary tensor data extension: in a BYTES
tensor, each element follows its length, 4 bytes, little-endian.
"""

import binascii
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from contract.manifest import ModelManifest
from service.domain import Encoded
from service.errors import ProblemType, ServiceError

HEADER_LENGTH = "Inference-Header-Content-Length"
Priority = Literal["routine", "stat"]
# In memory each value is an object of tens of bytes, so the count must have a bound of its own.
# This has room for 13 images of 192 x 192 pixels, each pixel in brackets.
MAX_JSON_VALUES = 1_000_000
_MAX_OUTPUTS = 16
_MAX_FAILURES = 3
_LENGTH_BYTES = 4
# Source: NVIDIA Triton, dynamic batcher: level 1 is the most urgent, 0 means the default level.
# The words are those of /predict.
_PRIORITIES: dict[int | str, Priority] = {
    0: "routine",
    1: "stat",
    2: "routine",
    "routine": "routine",
    "stat": "stat",
}


def _refuse(value: object) -> None:
    if value is not None:
        raise PydanticCustomError("unsupported", "This service does not support it")


# To ignore these would answer another question than the client's.
Unsupported = Annotated[None, BeforeValidator(_refuse)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _Parameters(_Message):
    """Of a request, an input or an output; each knows some of them."""

    priority: int | str = 0
    binary_data_output: bool = False
    binary_data_size: int | None = Field(default=None, ge=0)
    binary_data: bool | None = None
    classification: Unsupported = None
    shared_memory_region: Unsupported = None


class _Input(_Message):
    name: Literal["image"]
    datatype: Literal["UINT8", "BYTES"]
    shape: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=4)
    parameters: _Parameters = _Parameters()
    data: Any = None


class _Output(_Message):
    name: str
    parameters: _Parameters = _Parameters()


class _Request(_Message):
    id: str | None = None
    parameters: _Parameters = _Parameters()
    inputs: tuple[_Input, ...] = Field(min_length=1, max_length=1)
    outputs: tuple[_Output, ...] = Field(default=(), max_length=_MAX_OUTPUTS)


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """A request to one model.

    ``images`` are uint8 (batch, height, width, 1), 0 black to 255 white, or image files, one for
    each image of the batch. They may share the memory of the request's body. ``outputs`` says for
    each wanted one by its name whether the answer has it as binary data.
    """

    id: str | None
    images: NDArray[np.uint8] | Encoded
    outputs: Mapping[str, bool]
    priority: Priority


def parse_request(
    body: bytes, header_length: str | None, manifest: ModelManifest, max_images: int
) -> InferenceRequest:
    """Read the body of an inference request to a model.

    Without ``header_length``, a header of that name, all of the body is JSON. Raises ServiceError
    where it is no inference request, does not fit the model, or has more than ``max_images``.
    """
    content, binary = body, memoryview(b"")
    if header_length is not None:
        # int() would spend its time on thousands of digits.
        if not re.fullmatch("[0-9]{1,18}", header_length) or int(header_length) > len(body):
            raise _malformed(
                f"{HEADER_LENGTH} must be a number of bytes, and the body has {len(body)}."
            )
        content, binary = body[: int(header_length)], memoryview(body)[int(header_length) :]
    message = _parse_json(content)
    priority = _PRIORITIES.get(message.parameters.priority)
    if priority is None:
        raise _malformed("priority must be 0, 1 or 2, or routine or stat.")
    return InferenceRequest(
        id=message.id,
        images=_images(message.inputs[0], binary, manifest.preprocessing.size, max_images),
        outputs=_outputs(message, [tensor.name for tensor in manifest.signature.outputs]),
        priority=priority,
    )


def _malformed(what: str) -> ServiceError:
    return ServiceError(ProblemType.MALFORMED_INFERENCE, what)


def _parse_json(content: bytes) -> _Request:
    if sum(map(content.count, (b",", b"[", b"{"))) > MAX_JSON_VALUES:
        raise _malformed(
            f"The JSON has more than {MAX_JSON_VALUES} values. Send the tensor as binary data."
        )
    try:
        return _Request.model_validate_json(content)
    except ValidationError as error:
        # Without the values, which may be as large as the body.
        failures = error.errors(include_url=False, include_input=False, include_context=False)
    named = (
        f"{'.'.join(map(str, each['loc'])) or 'the request'}: {each['msg']}"
        for each in failures[:_MAX_FAILURES]
    )
    raise _malformed(f"The inference request is not well-formed: {'; '.join(named)}.")


def _images(
    tensor: _Input, binary: memoryview, size: tuple[int, int], max_images: int
) -> NDArray[np.uint8] | Encoded:
    declared, shape = tensor.parameters.binary_data_size, tensor.shape
    if (declared is None) == (tensor.data is None):
        raise _malformed("An input must have either data or the parameter binary_data_size.")
    if (declared or 0) != len(binary):
        raise _malformed(
            f"binary_data_size is {declared or 0}, and {len(binary)} bytes follow the JSON."
        )
    _check_shape(tensor, size, max_images)
    if tensor.datatype == "BYTES":
        files = _from_base64(tensor) if declared is None else _elements(binary, shape[0])
        if len(files) != shape[0]:
            raise _malformed(f"There are {len(files)} elements, the shape says {shape[0]}.")
        return files
    pixels = _pixels(tensor) if declared is None else binary
    if len(pixels) != math.prod(shape):
        raise _malformed(
            f"image has {len(pixels)} bytes, its shape {[*shape]} needs {math.prod(shape)}."
        )
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def _check_shape(tensor: _Input, size: tuple[int, int], max_images: int) -> None:
    shape = [*tensor.shape]
    allowed: list[list[int]] = [[], [1]] if tensor.datatype == "BYTES" else [[*size, 1]]
    if not shape or shape[1:] not in allowed:
        expected = " or ".join(f"[{', '.join(['batch', *map(str, axes)])}]" for axes in allowed)
        raise _malformed(
            f"The shape of image must be {expected} for {tensor.datatype}, and is {shape}."
        )
    if shape[0] == 0:
        raise _malformed("The batch has no image.")
    if shape[0] > max_images:
        most = f"One request may have at most {max_images} images."
        raise ServiceError(ProblemType.TOO_MANY_FILES, most)


def _pixels(tensor: _Input) -> bytes:
    """Pixels from JSON: one flat list, or lists nested like the shape."""
    # Of objects: an array of numbers would turn text and booleans into numbers.
    array = np.array(tensor.data, dtype=object)
    values = array.ravel().tolist()
    try:
        if array.shape in (tensor.shape, (len(values),)) and set(map(type, values)) == {int}:
            return bytes(values)
    except ValueError:
        pass
    raise _malformed(
        "The data of image must be whole numbers from 0 to 255, in one list or nested like its "
        "shape."
    )


def _elements(data: memoryview, count: int) -> Encoded:
    """The elements of a BYTES tensor; one too many is enough to know."""
    elements: list[memoryview] = []
    while data and len(elements) <= count:
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
        if len(data) < end:
            raise _malformed(f"BYTES element {len(elements)} is truncated.")
        elements.append(data[_LENGTH_BYTES:end])
        data = data[end:]
    return tuple(elements)


def _from_base64(tensor: _Input) -> Encoded:
    """Image files from JSON, where a string can hold their bytes only in base64."""
    files: list[bytes] = []
    for given in tensor.data if isinstance(tensor.data, list) else [tensor.data]:
        nested = len(tensor.shape) > 1 and isinstance(given, list) and len(given) == 1
        try:
            files.append(binascii.a2b_base64(given[0] if nested else given, strict_mode=True))
        except (TypeError, ValueError):
            raise _malformed(
                f"image[{len(files)}] must be an image file in base64. Binary data needs none."
            ) from None
    return tuple(files)


def _outputs(message: _Request, names: list[str]) -> Mapping[str, bool]:
    """The requested outputs; all of the model where the request names none."""
    by_default = message.parameters.binary_data_output
    if not message.outputs:
        return dict.fromkeys(names, by_default)
    asked: dict[str, bool] = {}
    for output in message.outputs:
        if output.name not in names:
            raise _malformed(f"There is no such output. There are: {', '.join(names)}.")
        if output.name in asked:
            raise _malformed("An output is asked for twice.")
        binary = output.parameters.binary_data
        asked[output.name] = by_default if binary is None else binary
    return asked
