"""Graphs in 8 and in 16 bits, made of a small network with a depthwise and a residual part."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from contract.quality import Limit, QualityLimits
from export.errors import VariantRefused
from export.graph import extend, tensor_specs
from export.quality_graph import add_quality
from export.quantize import Agreement, compare
from export.reduced import inner_nodes, to_fp16, to_int8
from export.session import cpu_ms, open_session, run_in_batches
from tests.bundles import SIZE, brightness_graph, make_manifest

# Image and score are those of ``brightness_graph``.
NETWORK = """
scaled = Mul (planes, per_gray)
first = Conv <pads = [1, 1, 1, 1]> (scaled, first_w)
first_relu = Relu (first)
depthwise = Conv <pads = [1, 1, 1, 1], group = 8> (first_relu, depthwise_w)
depthwise_relu = Relu (depthwise)
ordinary = Conv <pads = [1, 1, 1, 1]> (depthwise_relu, ordinary_w)
sum = Add (ordinary, first_relu)
sum_relu = Relu (sum)
head = Conv (sum_relu, head_w)
map = AveragePool <kernel_shape = [8, 8], strides = [8, 8]> (head)
activation_map = Transpose <perm = [0, 2, 3, 1]> (map)
mean = ReduceMean <keepdims = 0> (activation_map, plane)
logits = Add (mean, nothing)
probabilities = Softmax (logits)
"""
OUTPUTS = (
    *("float[batch, 2] probabilities", "float[batch, 2] logits"),
    "float[batch, 4, 4, 2] activation_map",
)
WEIGHTS = {
    "first": (8, 1, 3, 3),
    "depthwise": (8, 1, 3, 3),
    "ordinary": (8, 8, 3, 3),
    "head": (2, 8, 1, 1),
}


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    constants: dict[str, object] = {"per_gray": 1 / 255, "nothing": 0.0, "plane": [1, 2]}
    for name, shape in WEIGHTS.items():
        random = np.random.default_rng(sum(map(ord, name)))
        constants[f"{name}_w"] = random.normal(0, 1.5 / np.sqrt(np.prod(shape[1:])), shape)
    return add_quality(
        extend(brightness_graph(ood_score=True), "network", NETWORK, OUTPUTS, constants)
    )


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
    found = [node.output[0].removeprefix("network/") for node in inner_nodes(network.graph)]

    assert found == ["first_relu", "depthwise", "depthwise_relu", "ordinary", "sum", "sum_relu"]


def test_only_ordinary_inner_convolutions_become_eight_bit(int8: bytes) -> None:
    graph = onnx.load_from_string(int8).graph
    quantized = {t for n in graph.node if n.op_type == "DequantizeLinear" for t in n.output}

    from_quantized = {
        node.output[0].removeprefix("network/").removesuffix("_QuantizeLinear_Input"): not (
            quantized.isdisjoint(node.input[1:2])
        )
        for node in graph.node
        if node.op_type == "Conv"
    }

    assert from_quantized == {"first": False, "depthwise": False, "ordinary": True, "head": False}
    # Weights leave room for sums of two products.
    [kernel] = [
        numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert 2 * 255 * np.abs(kernel.astype(int)).max() <= 32767


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


def test_graphs_are_compared_as_the_service_decides_and_others_are_refused() -> None:
    same, other = judged(0.0, ood_limit=300), judged(3.0, ood_limit=300)

    assert (same.auroc, same.auroc_fp32, same.agreement) == (1.0, 1.0, 1.0)
    same.check()
    assert other.auroc == 1.0
    with pytest.raises(VariantRefused, match=rf"{other.agreement:.2%} of 21 .* decided alike"):
        other.check()
    # What a gate stops is decided alike.
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
