import base64
import json
import struct
from typing import Any

import numpy as np
import pytest

from service import inference_protocol
from service.errors import ProblemType
from service.inference_protocol import InferenceRequest, parse_request
from tests.bundles import make_manifest
from tests.refusals import refused

MANIFEST = make_manifest("sha256:" + 64 * "0", size=8, ood_limit=1.0)
SHAPE = (2, 8, 8, 1)
PIXELS = np.arange(128, dtype=np.uint8).reshape(SHAPE)
FILES = (b"one \xff", b"")
ALL = ("probabilities", "logits", "activation_map", "ood_score")


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "image", "datatype": "UINT8", "shape": list(SHAPE), **changes}


def body(*inputs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"inputs": list(inputs), **fields}


def parse(message: dict[str, Any], binary: bytes | None = None) -> InferenceRequest:
    content = json.dumps(message).encode()
    length = None if binary is None else str(len(content))
    return parse_request(content + (binary or b""), length, MANIFEST, 4)


def pixels(**fields: Any) -> dict[str, Any]:
    return body(tensor(data=PIXELS.tolist()), **fields)


def prefixed(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


@pytest.mark.parametrize("data", [PIXELS.tolist(), PIXELS.ravel().tolist()])
def test_pixels_come_as_one_list_or_nested(data: list[Any]) -> None:
    request = parse(body(tensor(data=data)))

    np.testing.assert_array_equal(np.asarray(request.images), PIXELS)


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_files_in_json_are_in_base64(shape: list[int]) -> None:
    texts = [base64.b64encode(file).decode() for file in FILES]
    data = texts if len(shape) == 1 else [[text] for text in texts]

    request = parse(body(tensor(datatype="BYTES", shape=shape, data=data)))

    assert request.images == FILES


def test_nothing_is_copied_out_of_a_binary_body() -> None:
    message = body(tensor(parameters={"binary_data_size": PIXELS.nbytes}))
    content = json.dumps(message).encode()
    whole = content + PIXELS.tobytes()

    request = parse_request(whole, str(len(content)), MANIFEST, 4)

    assert np.shares_memory(np.asarray(request.images), np.frombuffer(whole, np.uint8))


def test_all_outputs_are_meant_where_none_is_named_and_each_may_have_its_form() -> None:
    outputs = [{"name": "logits"}, {"name": "ood_score", "parameters": {"binary_data": False}}]

    all_of_them = parse(pixels(id="7"))
    some = parse(pixels(outputs=outputs, parameters={"binary_data_output": True}))

    assert (all_of_them.id, all_of_them.outputs) == ("7", dict.fromkeys(ALL, False))
    assert some.outputs == {"logits": True, "ood_score": False}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "routine"),
        ({"priority": 0}, "routine"),
        ({"priority": 1}, "stat"),
        ({"priority": 2}, "routine"),
        ({"priority": "stat"}, "stat"),
        ({"priority": "routine", "timeout": 5, "vendor": "x"}, "routine"),
    ],
)
def test_priority_is_a_level_of_triton_or_a_word_of_ours(
    given: dict[str, Any], expected: str
) -> None:
    assert parse(pixels(parameters=given)).priority == expected


TWO_FILES = {"datatype": "BYTES", "shape": [2]}


def in_binary(size: int, **fields: Any) -> dict[str, Any]:
    return {"parameters": {"binary_data_size": size}, **fields}


@pytest.mark.parametrize(
    ("fields", "binary", "sentence"),
    [
        ({"datatype": "FP32", "data": [0.5]}, None, "datatype: Input should be 'UINT8' or 'BYTES'"),
        ({"name": "x", "data": [1]}, None, "inputs.0.name: Input should be 'image'"),
        ({"shape": [2, 8, 8], "data": [1]}, None, r"\[batch, 8, 8, 1\] for UINT8, and is \[2, 8"),
        ({"shape": [2, 9, 8, 1], "data": [1]}, None, r"\[batch, 8, 8, 1\]"),
        ({"shape": [], "data": [1]}, None, r"and is \[\]"),
        ({"shape": [0, 8, 8, 1], "data": []}, None, "has no image"),
        ({"shape": [-1, 8, 8, 1], "data": []}, None, "inputs.0.shape.0: .* greater than or equal"),
        ({"shape": [2.5], "data": []}, None, "inputs.0.shape.0"),
        ({"shape": [1] * 9, "data": []}, None, "inputs.0.shape: .* at most 4"),
        ({"data": PIXELS[:1].tolist()}, None, "nested like its shape"),
        ({"data": PIXELS[0].ravel().tolist()}, None, r"has 64 bytes, .* \[2, 8, 8, 1\] needs 128"),
        ({"data": [*range(127), [1]]}, None, "must be whole numbers"),
        ({"data": 7}, None, "must be whole numbers"),
        ({"data": [0.0] * 128}, None, "whole numbers"),
        ({"data": [True] * 128}, None, "whole numbers"),
        ({"data": ["1"] * 128}, None, "whole numbers"),
        ({"data": [256] * 128}, None, "from 0 to 255"),
        ({"data": [-1] * 128}, None, "from 0 to 255"),
        ({}, None, "either data or the parameter binary_data_size"),
        (in_binary(1, data=[1]), None, "either data or"),
        (
            {"data": [1], "parameters": {"shared_memory_region": "x"}},
            None,
            "shared_memory_region: This service does not support it",
        ),
        ({"data": [1], "parameters": []}, None, "inputs.0.parameters"),
        (TWO_FILES | {"shape": [2, 2], "data": []}, None, r"\[batch\] or \[batch, 1\]"),
        (TWO_FILES | {"data": ["AAAA"]}, None, "1 elements, the shape says 2"),
        (TWO_FILES | {"data": ["no base 64", "AAAA"]}, None, r"image\[0\] must be"),
        (TWO_FILES | {"data": ["AAAA", 7]}, None, r"image\[1\] must be"),
        (in_binary(128), 127 * b"x", "binary_data_size is 128, and 127 bytes follow the JSON"),
        (in_binary(128), 129 * b"x", "binary_data_size is 128, and 129 bytes follow the JSON"),
        (in_binary(127), 127 * b"x", "has 127 bytes, its shape .* needs 128"),
        (in_binary(-1), b"", "binary_data_size: .* greater than or equal to 0"),
        (in_binary(2**64), b"", "and 0 bytes follow the JSON"),
        (in_binary(7, **TWO_FILES), prefixed(b"one"), "1 elements, the shape says 2"),
        (in_binary(15, **TWO_FILES), prefixed(b"a", b"b", b"c"), "3 elements, the shape says 2"),
        (in_binary(9, **TWO_FILES), prefixed(b"a", b"b")[:-1], "element 1 is truncated"),
        (in_binary(7, **TWO_FILES), prefixed(b"a") + b"\1\0", "element 1 is truncated"),
        (in_binary(4, **TWO_FILES), b"\xff\xff\xff\xff", "element 0 is truncated"),
    ],
)
def test_a_tensor_that_does_not_hold_together_is_said_in_a_sentence(
    fields: dict[str, Any], binary: bytes | None, sentence: str
) -> None:
    with refused(ProblemType.MALFORMED_INFERENCE, match=sentence):
        parse(body(tensor(**fields)), binary)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (body(), "inputs: Tuple should have at least 1 item"),
        (body(tensor(data=[1]), tensor(data=[1])), "inputs: .* at most 1 item"),
        (pixels(id=7), "id: Input should be a valid string"),
        (pixels(outputs=[{"name": "x"}]), "There are: probabilities, logits, activation_map"),
        (pixels(outputs=[{"name": "logits"}] * 2), "asked for twice"),
        (pixels(outputs=[{"name": "logits"}] * 17), "at most 16 items"),
        (
            pixels(outputs=[{"name": "logits", "parameters": {"classification": 2}}]),
            "classification: This service does not support it",
        ),
        (pixels(parameters={"priority": True}), "parameters.priority"),
    ],
)
def test_a_request_that_does_not_hold_together_is_said_in_a_sentence(
    message: dict[str, Any], sentence: str
) -> None:
    with refused(ProblemType.MALFORMED_INFERENCE, match=sentence):
        parse(message)


@pytest.mark.parametrize(
    ("content", "header_length", "sentence"),
    [
        (b"", None, "Invalid JSON"),
        (b"[1]", None, "the request: Input should be an object"),
        (b'{"inputs": [{"name": "\xff"}]}', None, "Invalid JSON"),
        (b"[" * 100_000, None, "Invalid JSON"),
        (b"{}", "3", "must be a number of bytes, and the body has 2"),
        (b"{}", "9" * 5000, "must be a number of bytes"),
        (b"{}", "-1", "must be a number of bytes"),
        (b"{}", "٣", "must be a number of bytes"),
        (b"{}", "", "must be a number of bytes"),
        (b"{}", "0", "Invalid JSON"),
    ],
)
def test_a_body_that_is_no_request_is_refused(
    content: bytes, header_length: str | None, sentence: str
) -> None:
    with refused(ProblemType.MALFORMED_INFERENCE, match=sentence):
        parse_request(content, header_length, MANIFEST, 4)


def test_a_small_body_cannot_become_a_large_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_protocol, "MAX_JSON_VALUES", 100)

    with refused(ProblemType.MALFORMED_INFERENCE, match=r"more than 100 values\. Send .* binary"):
        parse(pixels())
