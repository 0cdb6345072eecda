"""An inference request, understood: the images that one model shall read, and what is wanted."""

import binascii
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contract.manifest import ModelManifest
from service.errors import MalformedInference, TooManyFiles
from service.inference_protocol.framing import split_body, split_elements, split_tensors
from service.inference_protocol.messages import InputMessage, OutputMessage, RequestMessage
from service.priorities import Priority

IMAGE = "image"
Encoded = tuple[bytes | memoryview, ...]

# Source: NVIDIA Triton, dynamic batcher: 1 is the most urgent level, 0 asks for the default one.
# The words are those of /predict.
_PRIORITIES: Final[dict[int | str, Priority]] = {
    0: Priority.ROUTINE,
    1: Priority.STAT,
    2: Priority.ROUTINE,
    "routine": Priority.ROUTINE,
    "stat": Priority.STAT,
}


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output by its name, and whether it is written as binary data."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """What one model is asked.

    ``images`` are uint8 (batch, height, width, 1), 0 black to 255 white, or the bytes of image
    files, one for each image of the batch. Their memory is that of the request's body.
    """

    id: str | None
    images: NDArray[np.uint8] | Encoded
    outputs: tuple[RequestedOutput, ...]
    priority: Priority

    @property
    def wanted(self) -> frozenset[str]:
        """The names of the outputs."""
        return frozenset(output.name for output in self.outputs)


def parse_request(
    body: bytes, header_length: str | None, manifest: ModelManifest, max_images: int
) -> InferenceRequest:
    """Read the body of an inference request.

    Args:
        body: The whole body, not compressed.
        header_length: The Inference-Header-Content-Length header.
        manifest: Of the model that is asked.
        max_images: The most images of one request.

    Raises:
        MalformedInference: The body does not hold together, or is none that the model takes.
        TooManyFiles: It has more images than that.
    """
    content, binary = split_body(body, header_length)
    message = RequestMessage.parse(content)
    parts = split_tensors(message.inputs, binary)
    if [tensor.name for tensor in message.inputs] != [IMAGE]:
        raise MalformedInference(f"The model takes one input, {IMAGE}.")
    return InferenceRequest(
        id=message.id,
        images=_images(message.inputs[0], parts[0], manifest, max_images),
        outputs=_outputs(message, manifest),
        priority=_priority(message.parameters.priority),
    )


def _images(
    tensor: InputMessage, binary: memoryview | None, manifest: ModelManifest, max_images: int
) -> NDArray[np.uint8] | Encoded:
    if tensor.parameters.shared_memory_region is not None:
        raise MalformedInference("Shared memory is not supported.")
    if tensor.datatype not in ("UINT8", "BYTES"):
        raise MalformedInference(
            f"{IMAGE} must be UINT8, pixels, or BYTES, image files; it has another datatype."
        )
    _check_shape(tensor, (*manifest.preprocessing.size, 1), max_images)
    return _arrays(tensor, binary) if tensor.datatype == "UINT8" else _files(tensor, binary)


def _check_shape(tensor: InputMessage, pixels: tuple[int, int, int], max_images: int) -> None:
    shapes: tuple[tuple[int, ...], ...] = (pixels,) if tensor.datatype == "UINT8" else ((), (1,))
    if not tensor.shape or tensor.shape[1:] not in shapes:
        expected = " or ".join(str(["batch", *shape]).replace("'", "") for shape in shapes)
        raise MalformedInference(
            f"The shape of {IMAGE} must be {expected} for {tensor.datatype}, "
            f"and is {list(tensor.shape)}."
        )
    if tensor.shape[0] == 0:
        raise MalformedInference("The batch has no image.")
    if tensor.shape[0] > max_images:
        raise TooManyFiles(f"One request may have at most {max_images} images.")


def _arrays(tensor: InputMessage, binary: memoryview | None) -> NDArray[np.uint8]:
    count = math.prod(tensor.shape)
    data = _pixels(tensor, count) if binary is None else binary
    if len(data) != count:
        raise MalformedInference(
            f"{IMAGE} has {len(data)} bytes, its shape {list(tensor.shape)} needs {count}."
        )
    return np.frombuffer(data, np.uint8).reshape(tensor.shape)


def _pixels(tensor: InputMessage, count: int) -> bytes:
    """Pixels out of JSON lists, nested as the shape is, or one flat list."""
    # An array of objects takes every value as it is; one of numbers would turn text into them.
    array = np.array(tensor.data, dtype=object)
    if array.shape not in (tensor.shape, (count,)):
        raise MalformedInference(
            f"The data of {IMAGE} must be {count} numbers, in one list or nested as its shape is."
        )
    values = array.ravel().tolist()
    if set(map(type, values)) != {int}:
        raise MalformedInference(f"The data of {IMAGE} must be whole numbers.")
    try:
        return bytes(values)
    except ValueError:
        raise MalformedInference(f"The data of {IMAGE} must be numbers from 0 to 255.") from None


def _files(tensor: InputMessage, binary: memoryview | None) -> Encoded:
    count = tensor.shape[0]
    if binary is not None:
        return split_elements(binary, count)
    texts = tensor.data if isinstance(tensor.data, list) else [tensor.data]
    if tensor.shape == (count, 1):
        texts = [text[0] if isinstance(text, list) and len(text) == 1 else text for text in texts]
    if len(texts) != count:
        raise MalformedInference(f"There are {len(texts)} elements, the shape says {count}.")
    return tuple(_from_base64(index, text) for index, text in enumerate(texts))


def _from_base64(index: int, text: object) -> bytes:
    """An image file out of JSON, whose strings can hold its bytes in no other way."""
    if isinstance(text, str):
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            pass
    raise MalformedInference(
        f"{IMAGE}[{index}] must be an image file in base64. Binary data needs none."
    )


def _outputs(message: RequestMessage, manifest: ModelManifest) -> tuple[RequestedOutput, ...]:
    """The outputs that are asked for; all where none is named."""
    binary, names = message.parameters.binary_data_output, _names(manifest)
    if not message.outputs:
        return tuple(RequestedOutput(name, binary) for name in names)
    asked = [output.name for output in message.outputs]
    if not set(asked) <= set(names):
        raise MalformedInference(f"There is no such output. There are: {', '.join(names)}.")
    if len(set(asked)) != len(asked):
        raise MalformedInference("An output is asked for twice.")
    return tuple(_output(output, binary=binary) for output in message.outputs)


def _output(output: OutputMessage, *, binary: bool) -> RequestedOutput:
    parameters = output.parameters
    if parameters.classification is not None or parameters.shared_memory_region is not None:
        # To leave them out of account would answer something else than what was asked for.
        raise MalformedInference("Classification and shared memory are not supported.")
    chosen = parameters.binary_data
    return RequestedOutput(output.name, binary if chosen is None else chosen)


def _names(manifest: ModelManifest) -> list[str]:
    return [tensor.name for tensor in manifest.signature.outputs]


def _priority(given: int | str) -> Priority:
    if given not in _PRIORITIES:
        raise MalformedInference("priority must be 0, 1 or 2, or routine or stat.")
    return _PRIORITIES[given]
