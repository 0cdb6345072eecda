"""The same graph in smaller numbers: 8 bits for CPUs, 16 bits for GPUs.

Only what lies between the first convolution and the head of the network is reduced. The
standardisation, the calibration, the quality measures and the score of unfamiliar images take
little time, and their numbers reach too far for a small type.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.utils import Extractor
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from export.errors import VariantRefused
from export.graph import with_whole_weights

# What ONNX Runtime computes in 8 bits without going back to floats between two convolutions.
_BETWEEN = ("Relu", "Clip", "MaxPool", "Add")
_OWN_NODES = ("ood/", "quality/")


def to_int8(model: bytes, images: NDArray[np.uint8]) -> bytes:
    """Quantize the convolutions of a model.onnx, static, with a scale for each channel.

    ``images``, uint8, shape (n, height, width, 1), say how large the activations become. Weights
    have seven bits: processors without VNNI add two products of eight bits in sixteen, and cut off
    what does not fit without a word. With seven it fits, and answers are the same everywhere.

    Raises:
        VariantRefused: It has no convolution that would gain from it.
    """
    proto = _named(model)
    constants = {tensor.name for tensor in proto.graph.initializer}
    nodes = [node for node in inner_nodes(proto.graph) if _gains(node, constants)]
    if not any(node.op_type == "Conv" for node in nodes):
        raise VariantRefused("No convolution of this graph would gain from 8 bits.")
    # It only keeps a piece of advice quiet, which this input type does not let anyone follow.
    add_pre_process_metadata(proto)
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        onnx.save(proto, source)
        quantize_static(
            source,
            target,
            _Images({"image": images[at : at + 16]} for at in range(0, len(images), 16)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", *_BETWEEN],
            nodes_to_quantize=[node.name for node in nodes],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return target.read_bytes()


def to_fp16(model: bytes) -> bytes:
    """Convert the inner part of a model.onnx, with casts where tensors enter and leave it.

    Raises:
        VariantRefused: It has no inner part.
    """
    proto = _named(model)
    inner = inner_nodes(proto.graph)
    if not inner:
        raise VariantRefused("No convolution of this graph would gain from 16 bits.")
    made = {tensor for node in inner for tensor in node.output}
    constants = {tensor.name for tensor in proto.graph.initializer}
    entering = {tensor for node in inner for tensor in node.input} - made - constants - {""}
    outside = [node for node in proto.graph.node if made.isdisjoint(node.output)]
    leaving = {tensor for node in outside for tensor in node.input} & made
    part = Extractor(onnx.shape_inference.infer_shapes(proto)).extract_model(
        sorted(entering), sorted(leaving)
    )
    halved = convert_float_to_float16(part, keep_io_types=True).graph
    del proto.graph.node[:], proto.graph.value_info[:]
    proto.graph.node.extend([*outside, *halved.node])
    OnnxModel(proto).topological_sort()
    kept = {tensor for node in outside for tensor in node.input}
    for constant in [tensor for tensor in proto.graph.initializer if tensor.name not in kept]:
        proto.graph.initializer.remove(constant)
    there = {tensor.name for tensor in proto.graph.initializer}
    proto.graph.initializer.extend(t for t in halved.initializer if t.name not in there)
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString())


def inner_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes between the network's first convolution and its head, in the graph's order.

    The head is the convolution that none comes after. Both of these are left out.
    """
    nodes = [node for node in graph.node if not node.output[0].startswith(_OWN_NODES)]
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    if not convolutions:
        return []
    outputs = _feeding(nodes, convolutions)
    heads = [node for node in convolutions if not outputs.intersection(node.output)]
    below = set(convolutions[0].output)
    for node in nodes:
        if below.intersection(node.input):
            below.update(node.output)
    above = _feeding(nodes, heads)
    return [
        node
        for node in nodes
        if node is not convolutions[0]
        and below.intersection(node.output)
        and above.intersection(node.output)
    ]


def _feeding(nodes: Sequence[onnx.NodeProto], ends: Iterable[onnx.NodeProto]) -> set[str]:
    """The tensors that some nodes need, from however far above."""
    needed = {tensor for end in ends for tensor in end.input}
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
    return needed


def _named(model: bytes) -> onnx.ModelProto:
    """A graph whose nodes all have a name, that of their first output where they had none."""
    # A cast before a layer would hide that its weights are constant.
    proto = with_whole_weights(onnx.load_from_string(model))
    for node in proto.graph.node:
        node.name = node.name or node.output[0]
    return proto


def _gains(node: onnx.NodeProto, constants: set[str]) -> bool:
    if node.op_type == "Conv":
        # Depthwise convolutions do not.
        return not any(value.name == "group" and value.i > 1 for value in node.attribute)
    # A sum with a constant is half of a batch normalisation, which belongs to a float convolution.
    return node.op_type in _BETWEEN and (node.op_type != "Add" or constants.isdisjoint(node.input))


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Hands batches of images over."""

    def __init__(self, batches: Iterator[dict[str, NDArray[np.uint8]]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(self._batches, None)
