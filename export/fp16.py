"""A graph with 16-bit convolutions: for GPUs."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.backbone import inner_nodes, named
from export.errors import VariantRefused


def to_fp16(model: bytes) -> bytes:
    """Convert what lies between the first convolution and the head of a graph.

    The converter that ONNX Runtime has would pass everything else through 16 bits as well, the
    score of unfamiliar images too, whose numbers do not fit.

    Args:
        model: The bytes of model.onnx.

    Returns:
        The bytes of a graph with the same inputs and outputs.

    Raises:
        VariantRefused: It has nothing between the two.
    """
    proto = named(onnx.load_from_string(model))
    inner = inner_nodes(proto.graph)
    if not inner:
        raise VariantRefused("No convolution of this graph would gain from 16 bits.")
    types = _types(proto)
    # Their types are about to change; the runtime infers them anew.
    del proto.graph.value_info[:]
    graph = _Halves(proto.graph, types)
    made = {tensor for node in inner for tensor in node.output}
    for node in inner:
        graph.cast_inputs(node, made)
    graph.cast_outputs({node.name for node in inner}, made)
    graph.drop_unused()
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString())


class _Halves:
    """Puts casts where tensors enter and leave a part of a graph; each tensor has one of each."""

    def __init__(self, graph: onnx.GraphProto, types: Mapping[str, int]) -> None:
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._floats = {name for name, kind in types.items() if kind == TensorProto.FLOAT}
        self._entered: dict[str, str] = {}

    def cast_inputs(self, node: onnx.NodeProto, made: set[str]) -> None:
        for place, tensor in enumerate(node.input):
            if tensor in made or tensor not in self._floats:
                continue
            if tensor not in self._entered:
                self._entered[tensor] = self._enter(tensor)
            node.input[place] = self._entered[tensor]

    def cast_outputs(self, inner: set[str], made: set[str]) -> None:
        """Give every node outside, all of which are in order, floats as before."""
        outside = [node for node in self._graph.node if node.name not in inner]
        leaving = {tensor for node in outside for tensor in node.input} & made & self._floats
        for node in outside:
            for place, tensor in enumerate(node.input):
                if tensor in leaving:
                    node.input[place] = f"{tensor}_fp32"
        for tensor in sorted(leaving):
            self._insert(tensor, f"{tensor}_fp32", TensorProto.FLOAT)

    def drop_unused(self) -> None:
        """Remove constants that only have been used in their float form."""
        used = {tensor for node in self._graph.node for tensor in node.input}
        for constant in self._constants.values():
            if constant.name not in used:
                self._graph.initializer.remove(constant)

    def _enter(self, tensor: str) -> str:
        name = f"{tensor}_fp16"
        constant = self._constants.get(tensor)
        if constant is None:
            self._insert(tensor, name, TensorProto.FLOAT16)
        else:
            values = numpy_helper.to_array(constant).astype(np.float16)
            self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def _insert(self, tensor: str, name: str, kind: int) -> None:
        """Cast a tensor right after the node that makes it: ONNX demands an order."""
        made_by = [tensor in node.output for node in self._graph.node].index(True)
        self._graph.node.insert(
            made_by + 1, helper.make_node("Cast", [tensor], [name], name=name, to=kind)
        )


def _types(proto: onnx.ModelProto) -> Mapping[str, int]:
    """The element type of every tensor."""
    graph = onnx.shape_inference.infer_shapes(proto).graph
    constants = {tensor.name: tensor.data_type for tensor in graph.initializer}
    values = (*graph.value_info, *graph.input, *graph.output)
    return constants | {value.name: value.type.tensor_type.elem_type for value in values}
