"""Graphs that are set right: the same answers, by less work."""

from pathlib import Path
from typing import cast

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper, parser

from contract.manifest import MODEL_FILE
from export.graph import with_one_gray
from export.session import open_session

BUNDLES = [
    Path("commissioning"),
    *sorted(file.parent for file in Path("models").glob(f"*/*/{MODEL_FILE}")),
]
GRAY = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 1), dtype=np.uint8)
THREE = "scaled, scaled, scaled"
KERNEL = np.random.default_rng(1).normal(size=(4, 3, 3, 3)).astype(np.float32)


def network(
    steps: str, parts: str = THREE, beside: str = "level", kernel: str = "kernel"
) -> onnx.ModelProto:
    """A graph that scales a gray, makes channels of it, and convolves them."""
    model = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 18]>
        g (uint8[batch, 8, 6, 1] image) => (float[batch, 4, 4, 3] found, float other)
        <float divisor = {{127.5}}, float one = {{1.0}}>
        {{
            level = Cast <to: int = 1> (image)
            {steps}
            other = ReduceMax <keepdims: int = 0> ({beside})
            channels = Concat <axis: int = 3> ({parts})
            first = Transpose <perm: ints = [0, 3, 1, 2]> (channels)
            found = Conv <strides: ints = [2, 2], pads: ints = [0, 0, 1, 1]> (first, {kernel})
        }}"""
    )
    rows = np.arange(6, dtype=np.float32).reshape(6, 1)
    model.graph.initializer.append(numpy_helper.from_array(KERNEL, "kernel"))
    model.graph.initializer.append(numpy_helper.from_array(rows, "rows"))
    if kernel != "kernel":
        model.graph.node.insert(0, helper.make_node("Identity", ["kernel"], [kernel]))
    return model


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node if node.op_type != "ReduceMax"]


def answers(model: onnx.ModelProto) -> list[NDArray[np.float32]]:
    session = open_session(model.SerializeToString())
    return cast("list[NDArray[np.float32]]", session.run(None, {"image": GRAY}))


AS_IT_WAS = ["Cast", "Div", "Concat", "Transpose", "Conv"]
BY_ONE_NUMBER = "scaled = Div (level, divisor)"


@pytest.mark.parametrize(
    ("steps", "wiring", "expected"),
    [
        (
            "part = Div (level, divisor)  scaled = Sub (one, part)",
            {},
            ["Cast", "Transpose", "Div", "Sub", "Conv"],
        ),
        # What others read of the scaled gray stays where it was.
        (
            "part = Div (level, divisor)  scaled = Sub (part, one)",
            {"beside": "part"},
            ["Cast", "Div", "Transpose", "Sub", "Conv"],
        ),
        # So does a scale of more than one number.
        (
            "part = Mul (level, rows)  scaled = Sub (part, one)",
            {},
            ["Cast", "Mul", "Transpose", "Sub", "Conv"],
        ),
        (BY_ONE_NUMBER, {"parts": "scaled, level, scaled"}, AS_IT_WAS),
        (BY_ONE_NUMBER, {"beside": "channels"}, AS_IT_WAS),
        (BY_ONE_NUMBER, {"kernel": "computed"}, ["Identity", *AS_IT_WAS]),
    ],
)
def test_equal_channels_become_one_where_nobody_else_needs_them(
    steps: str, wiring: dict[str, str], expected: list[str]
) -> None:
    model = network(steps, **wiring)

    leaner = with_one_gray(model)

    assert kinds(leaner) == expected
    assert with_one_gray(leaner) == leaner
    for found, wanted in zip(answers(leaner), answers(model), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bundle", BUNDLES, ids=str)
def test_what_ships_has_nothing_left_to_gain(bundle: Path) -> None:
    for file in bundle.glob("*.onnx"):
        model = onnx.load(file)
        assert kinds(with_one_gray(model)) == kinds(model), file
