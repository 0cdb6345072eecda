"""Which nodes of an exported graph may be computed in smaller numbers."""

from collections.abc import Iterable, Sequence

import onnx


def inner_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes between the first convolution and the head, in the graph's order.

    Both of these are left out, and so are the standardisation, the calibration and the score of
    unfamiliar images: they take little time, and their numbers reach too far for a small type. The
    head is the convolution that none comes after.

    Args:
        graph: In topological order, as ONNX demands; may have no convolution.
    """
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    if not convolutions:
        return []
    outputs = _feeding(graph.node, convolutions)
    heads = [node for node in convolutions if not outputs.intersection(node.output)]
    below = _fed_by(graph.node, convolutions[0])
    above = _feeding(graph.node, heads)
    return [
        node
        for node in graph.node
        if node is not convolutions[0]
        and below.intersection(node.output)
        and above.intersection(node.output)
    ]


def named(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose nodes all have a name, that of their first output where they had none."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for node in copy.graph.node:
        node.name = node.name or node.output[0]
    return copy


def is_depthwise(node: onnx.NodeProto) -> bool:
    """Whether a convolution works on groups of channels, mostly on each for itself."""
    return any(value.name == "group" and value.i > 1 for value in node.attribute)


def _feeding(nodes: Sequence[onnx.NodeProto], ends: Iterable[onnx.NodeProto]) -> set[str]:
    """The tensors that some nodes need, from however far above."""
    needed = {tensor for end in ends for tensor in end.input}
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
    return needed


def _fed_by(nodes: Sequence[onnx.NodeProto], start: onnx.NodeProto) -> set[str]:
    """The tensors that come of a node, however far below."""
    reached = set(start.output)
    for node in nodes:
        if reached.intersection(node.input):
            reached.update(node.output)
    return reached
