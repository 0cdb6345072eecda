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
KERNEL = np.random.default_rng(1).normal(size=(4, 3, 3, 3)).astype(np.float32)


def network(
    steps: str, *, parts: str = "scaled, scaled, scaled", beside: str = "level"
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
            found = Conv <strides: ints = [2, 2], pads: ints = [0, 0, 1, 1]> (first, kernel)
        }}"""
    )
    model.graph.initializer.append(numpy_helper.from_array(KERNEL, "kernel"))
    return model


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node if node.op_type != "ReduceMax"]


def answers(model: onnx.ModelProto) -> list[NDArray[np.float32]]:
    session = open_session(model.SerializeToString())
    return cast("list[NDArray[np.float32]]", session.run(None, {"image": GRAY}))


def check_alike(model: onnx.ModelProto) -> onnx.ModelProto:
    leaner = with_one_gray(model)
    for found, expected in zip(answers(leaner), answers(model), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    return leaner


def test_equal_channels_become_one_and_are_scaled_with_the_channel_first() -> None:
    model = network("part = Div (level, divisor)  scaled = Sub (one, part)")

    leaner = check_alike(model)

    assert kinds(model) == ["Cast", "Div", "Sub", "Concat", "Transpose", "Conv"]
    assert kinds(leaner) == ["Cast", "Transpose", "Div", "Sub", "Conv"]
    assert with_one_gray(leaner) == leaner


def test_what_others_read_of_the_scaled_gray_stays_where_it_was() -> None:
    model = network("part = Div (level, divisor)  scaled = Sub (part, one)", beside="part")

    assert kinds(check_alike(model)) == ["Cast", "Div", "Transpose", "Sub", "Conv"]


def test_channels_that_differ_stay() -> None:
    model = network("scaled = Div (level, divisor)", parts="scaled, level, scaled")

    assert kinds(check_alike(model)) == kinds(model)


def test_what_else_reads_the_channels_finds_them_as_they_were() -> None:
    model = network("scaled = Div (level, divisor)", beside="channels")

    assert kinds(check_alike(model)) == kinds(model)


def test_a_kernel_that_the_graph_computes_stays() -> None:
    model = network("scaled = Div (level, divisor)")
    model.graph.initializer[-1].name = "half"
    model.graph.node.insert(0, helper.make_node("Identity", ["half"], ["kernel"]))

    assert kinds(check_alike(model)) == kinds(model)


def test_a_scale_of_more_than_one_number_stays_where_it_was() -> None:
    model = network("part = Mul (level, rows)  scaled = Sub (part, one)")
    rows = np.arange(6, dtype=np.float32).reshape(6, 1)
    model.graph.initializer.append(numpy_helper.from_array(rows, "rows"))

    assert kinds(check_alike(model)) == ["Cast", "Mul", "Transpose", "Sub", "Conv"]


@pytest.mark.parametrize("bundle", BUNDLES, ids=str)
def test_what_ships_has_nothing_left_to_gain(bundle: Path) -> None:
    for file in bundle.glob("*.onnx"):
        model = onnx.load(file)
        assert kinds(with_one_gray(model)) == kinds(model), file
