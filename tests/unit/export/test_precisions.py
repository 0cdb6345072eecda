"""Graphs in 8 and in 16 bits, made of a small network with a depthwise and a residual part."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from contract.quality import Limit, QualityLimits
from export.errors import VariantRefused
from export.graph import tensor_specs
from export.quality_graph import add_quality
from export.quantize import Agreement, compare
from export.reduced import inner_nodes, to_fp16, to_int8
from export.session import cpu_ms, open_session, run_in_batches
from tests.bundles import SIZE, brightness_graph, make_manifest

CHANNELS = 8


def convolution(
    source: str, target: str, channels: tuple[int, int], kernel: int = 3, group: int = 1
) -> tuple[onnx.NodeProto, onnx.TensorProto]:
    random = np.random.default_rng(sum(map(ord, target)))
    shape = (channels[1], channels[0] // group, kernel, kernel)
    weight = random.normal(0, 1.5 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
    node = helper.make_node(
        "Conv", [source, f"{target}_w"], [target], pads=[kernel // 2] * 4, group=group
    )
    return node, numpy_helper.from_array(weight, f"{target}_w")


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """Image and score as in ``brightness_graph``; the tensors have the names of what they are."""
    layers = [
        convolution("scaled", "first", (1, CHANNELS)),
        convolution("first_relu", "depthwise", (CHANNELS, CHANNELS), group=CHANNELS),
        convolution("depthwise_relu", "ordinary", (CHANNELS, CHANNELS)),
        convolution("sum_relu", "head", (CHANNELS, 2), kernel=1),
    ]
    first, depthwise, ordinary, head = (node for node, _ in layers)
    base = brightness_graph(ood_score=True)
    score = [node for node in base.graph.node if node.op_type in ("ReduceMax", "ReduceMin", "Sub")]
    tail = [node for node in base.graph.node if node.output[0] in ("map", "activation_map", "mean")]
    ends = [node for node in base.graph.node if node.output[0] in ("logits", "probabilities")]
    start = [node for node in base.graph.node if node.output[0] in ("float", "planes")]
    tail[0].input[0] = "head"
    nodes = [
        *start,
        helper.make_node("Mul", ["planes", "per_gray"], ["scaled"]),
        first,
        helper.make_node("Relu", ["first"], ["first_relu"]),
        depthwise,
        helper.make_node("Relu", ["depthwise"], ["depthwise_relu"]),
        ordinary,
        helper.make_node("Add", ["ordinary", "first_relu"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["sum_relu"]),
        head,
        *tail,
        *ends[:1],
        *score,
        *ends[1:],
    ]
    constants = [
        tensor for tensor in base.graph.initializer if tensor.name not in ("weight", "bias")
    ]
    per_gray = numpy_helper.from_array(np.array(1 / 255, np.float32), "per_gray")
    weights = [weight for _, weight in layers]
    graph = helper.make_graph(
        nodes, "network", base.graph.input, base.graph.output, [*constants, per_gray, *weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return add_quality(model)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    random = np.random.default_rng(0)
    planes = random.integers(0, 256, (40, SIZE // 4, SIZE // 4, 1)).repeat(4, axis=1)
    return planes.repeat(4, axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def int8(network: onnx.ModelProto, images: NDArray[np.uint8]) -> bytes:
    return to_int8(network.SerializeToString(), images)


def test_the_inner_part_lies_between_the_first_convolution_and_the_head(
    network: onnx.ModelProto,
) -> None:
    found = [node.output[0] for node in inner_nodes(network.graph)]

    assert found == ["first_relu", "depthwise", "depthwise_relu", "ordinary", "sum", "sum_relu"]


def test_only_ordinary_inner_convolutions_become_eight_bit(int8: bytes) -> None:
    nodes = onnx.load_from_string(int8).graph.node
    quantized = {tensor for n in nodes if n.op_type == "DequantizeLinear" for tensor in n.output}

    from_quantized = {
        n.output[0].removesuffix("_QuantizeLinear_Input"): not quantized.isdisjoint(n.input[1:2])
        for n in nodes
        if n.op_type == "Conv"
    }

    assert from_quantized == {"first": False, "depthwise": False, "ordinary": True, "head": False}


def test_eight_bit_weights_leave_room_for_sums_of_two_products(int8: bytes) -> None:
    kernels = [
        numpy_helper.to_array(tensor)
        for tensor in onnx.load_from_string(int8).graph.initializer
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 4
    ]

    assert kernels
    assert all(2 * 255 * np.abs(kernel.astype(int)).max() <= 32767 for kernel in kernels)


@pytest.mark.parametrize(("precision", "nearness"), [("int8", 0.06), ("fp16", 0.003)])
def test_a_reduced_graph_has_the_same_outputs_and_almost_the_same_answers(
    precision: str,
    nearness: float,
    network: onnx.ModelProto,
    int8: bytes,
    images: NDArray[np.uint8],
) -> None:
    model = network.SerializeToString()
    reduced = int8 if precision == "int8" else to_fp16(model)

    graph = onnx.load_from_string(reduced).graph
    old = run_in_batches(open_session(model), images)
    new = run_in_batches(open_session(reduced), images)

    assert tensor_specs(graph.input) == tensor_specs(network.graph.input)
    assert tensor_specs(graph.output) == tensor_specs(network.graph.output)
    np.testing.assert_array_equal(new["ood_score"], old["ood_score"])
    np.testing.assert_array_equal(new["quality"], old["quality"])
    difference = np.abs(new["probabilities"] - old["probabilities"]).max()
    assert 0 < difference < nearness


def test_a_graph_without_inner_convolutions_is_not_reduced(images: NDArray[np.uint8]) -> None:
    model = brightness_graph().SerializeToString()

    with pytest.raises(VariantRefused, match="8 bits"):
        to_int8(model, images)
    with pytest.raises(VariantRefused, match="16 bits"):
        to_fp16(model)


def judged(logit_shift: float, *, ood_limit: float, accepted: bool = True) -> Agreement:
    """Compare the brightness graph with one whose answers lean to pneumonia, on 21 grays."""
    grays = np.linspace(0, 252, 21).astype(np.uint8)
    flat = np.broadcast_to(grays[:, None, None, None], (21, SIZE, SIZE, 1)).copy()
    # The last image has a range of grays; all others are as even as can be.
    flat[-1, 0, 0, 0] = 0
    leaning = brightness_graph(ood_score=True)
    [nothing] = [tensor for tensor in leaning.graph.initializer if tensor.name == "nothing"]
    shift = np.array([-logit_shift, logit_shift], np.float32)
    nothing.CopyFrom(numpy_helper.from_array(shift, "nothing"))
    limits = QualityLimits(limits=(Limit(check="resolution", lower=20),))
    manifest = make_manifest("sha256:" + 64 * "0", quality=limits, ood_limit=ood_limit)
    reference, candidate = (
        open_session(add_quality(graph).SerializeToString())
        for graph in (brightness_graph(ood_score=True), leaning)
    )
    side = 20 if accepted else 19
    classes = (grays > 127).astype(np.int64)
    return compare(manifest, reference, candidate, flat, classes, [(side, side)] * len(grays))


def test_the_same_graph_agrees_with_itself() -> None:
    found = judged(0.0, ood_limit=300)

    assert (found.auroc, found.auroc_fp32, found.agreement) == (1.0, 1.0, 1.0)
    found.check()


def test_other_decisions_are_refused_with_the_figures() -> None:
    found = judged(3.0, ood_limit=300)

    assert found.auroc == 1.0
    with pytest.raises(VariantRefused, match=rf"{found.agreement:.2%} of 21 .* decided alike"):
        found.check()


def test_an_image_that_a_gate_stops_is_decided_alike() -> None:
    assert judged(3.0, ood_limit=300, accepted=False).agreement == 1.0
    assert judged(3.0, ood_limit=-1).agreement == 1.0


@pytest.mark.parametrize("auroc", [0.9449, float("nan")])
def test_a_lost_auroc_is_refused(auroc: float) -> None:
    Agreement(images=9, auroc_fp32=0.95, auroc=0.9451, agreement=0.99).check()
    with pytest.raises(VariantRefused, match=r"0\.005"):
        Agreement(images=9, auroc_fp32=0.95, auroc=auroc, agreement=1.0).check()


def test_a_graph_with_ballast_is_measured_as_slower(images: NDArray[np.uint8]) -> None:
    light, heavy = (
        open_session(brightness_graph(ballast=trips).SerializeToString(), threads=1)
        for trips in (0, 2)
    )

    slow_ms, fast_ms = cpu_ms([heavy, light], images[:1])

    assert slow_ms > fast_ms > 0
