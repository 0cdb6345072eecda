"""The JSON of an inference request, as the protocol describes it for any model."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import MalformedInference

# Every value becomes an object of tens of bytes: without a bound a small body would fill the
# memory. It is room for 13 images of 192 x 192 pixels, each pixel in brackets of its own.
MAX_JSON_VALUES = 1_000_000
MAX_TENSORS = 16
MAX_DIMENSIONS = 8
_MAX_FAILURES = 3

Dimension = Annotated[int, Field(ge=0)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class InputParameters(_Message):
    """The parameters of an input. ``binary_data_size`` counts the bytes behind the JSON."""

    binary_data_size: int | None = Field(default=None, ge=0)
    shared_memory_region: Any = None


class OutputParameters(_Message):
    """The parameters of a requested output."""

    binary_data: bool | None = None
    classification: Any = None
    shared_memory_region: Any = None


class RequestParameters(_Message):
    """The parameters of a request."""

    binary_data_output: bool = False
    priority: int | str = 0


class InputMessage(_Message):
    """A tensor that is sent; ``data`` is None where it comes behind the JSON."""

    name: str
    datatype: str
    shape: tuple[Dimension, ...] = Field(max_length=MAX_DIMENSIONS)
    parameters: InputParameters = InputParameters()
    data: Any = None


class OutputMessage(_Message):
    """An output that is asked for."""

    name: str
    parameters: OutputParameters = OutputParameters()


class RequestMessage(_Message):
    """The whole JSON object of a request; no outputs means all of them."""

    id: str | None = None
    parameters: RequestParameters = RequestParameters()
    inputs: tuple[InputMessage, ...] = Field(min_length=1, max_length=MAX_TENSORS)
    outputs: tuple[OutputMessage, ...] = Field(default=(), max_length=MAX_TENSORS)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read the JSON object.

        Raises:
            MalformedInference: It is no JSON, has too many values, or is no inference request.
        """
        if sum(map(content.count, (b",", b"[", b"{"))) > MAX_JSON_VALUES:
            raise MalformedInference(
                f"The JSON has more than {MAX_JSON_VALUES} values. Send the tensor as binary data."
            )
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise MalformedInference(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    """What is wrong, and where, without the value, which may be as large as the body."""
    failures = error.errors(include_url=False, include_input=False, include_context=False)
    named = [
        f"{'.'.join(map(str, failure['loc'])) or 'the request'}: {failure['msg']}"
        for failure in failures[:_MAX_FAILURES]
    ]
    return f"The inference request is not well-formed: {'; '.join(named)}."
