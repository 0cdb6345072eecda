"""Where the JSON of a body ends, and which of the bytes behind it belong to which tensor.

Source: NVIDIA Triton, binary tensor data extension: the tensors follow the JSON in their order;
an element of a BYTES tensor has its length before it, 4 bytes, little-endian.
"""

from collections.abc import Iterable, Sequence

from service.errors import MalformedInference
from service.inference_protocol.messages import InputMessage

HEADER_LENGTH = "Inference-Header-Content-Length"
_LENGTH_BYTES = 4
# Longer than the length of anything; int() takes thousands of digits, and its time for them.
_MAX_DIGITS = 18


def split_body(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """Take a body apart into its JSON and the bytes behind it.

    Args:
        body: The whole body.
        header_length: The header that says how long the JSON is; None where all of it is JSON.

    Raises:
        MalformedInference: The header is no number, or longer than the body.
    """
    if header_length is None:
        return body, memoryview(b"")
    if not (header_length.isascii() and header_length.isdigit()):
        raise MalformedInference(f"{HEADER_LENGTH} must be a number of bytes.")
    if len(header_length) > _MAX_DIGITS or (length := int(header_length)) > len(body):
        raise MalformedInference(
            f"{HEADER_LENGTH} is larger than the body, which has {len(body)} bytes."
        )
    return body[:length], memoryview(body)[length:]


def split_tensors(inputs: Iterable[InputMessage], binary: memoryview) -> list[memoryview | None]:
    """Give each input its bytes; None to one that has its data in the JSON.

    Raises:
        MalformedInference: There are fewer or more bytes than the inputs say together, or an input
            has its data at both places or at none.
    """
    parts: list[memoryview | None] = []
    rest = binary
    for tensor in inputs:
        size = tensor.parameters.binary_data_size
        if (size is None) == (tensor.data is None):
            raise MalformedInference(
                "An input must have either data or the parameter binary_data_size."
            )
        if size is not None and size > len(rest):
            raise MalformedInference(
                f"The binary data is truncated: binary_data_size is {size}, and there are "
                f"{len(rest)} bytes left."
            )
        parts.append(None if size is None else rest[:size])
        rest = rest[size or 0 :]
    if rest:
        raise MalformedInference(
            f"There are {len(rest)} bytes of binary data that belong to no input."
        )
    return parts


def split_elements(data: memoryview, count: int) -> tuple[memoryview, ...]:
    """Take a BYTES tensor apart.

    Args:
        data: Its bytes.
        count: How many elements it has.

    Raises:
        MalformedInference: There are fewer or more bytes than that.
    """
    elements: list[memoryview] = []
    while data:
        if len(elements) == count:
            raise MalformedInference(f"There are more than the {count} elements of the shape.")
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        if len(data) < _LENGTH_BYTES + length:
            raise MalformedInference(f"BYTES element {len(elements)} is truncated.")
        elements.append(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        data = data[_LENGTH_BYTES + length :]
    if len(elements) < count:
        raise MalformedInference(f"There are {len(elements)} elements, the shape says {count}.")
    return tuple(elements)


def join_body(content: bytes, tensors: Sequence[bytes]) -> bytes:
    """Put the tensors behind the JSON."""
    return b"".join((content, *tensors))
