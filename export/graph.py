"""What can be read from an ONNX graph, set right in it, or added to it, without running it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser
from onnxruntime.transformers.onnx_model import OnnxModel

from contract.manifest import Signature, TensorSpec
from export.errors import ConversionError

MAX_TRANSPOSES = 2
ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})


def with_named_batch_axis(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Call the first axis of every input and output ``batch``, as the manifest does."""
    named = deepcopy(proto)
    for value in (*named.graph.input, *named.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    # The converter writes its temporary folder there.
    named.graph.doc_string = ""
    # Shapes of inner tensors still carry the old axis name; the runtime infers them anew.
    del named.graph.value_info[:]
    onnx.checker.check_model(named)
    return named


def tensor_specs(values: Iterable[onnx.ValueInfoProto]) -> tuple[TensorSpec, ...]:
    """The names, dtypes and shapes of a graph's inputs or outputs."""
    specs = []
    for value in values:
        tensor = value.type.tensor_type
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        shape = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
        specs.append(TensorSpec(name=value.name, dtype=dtype, shape=tuple(shape)))
    return tuple(specs)


def image_size(proto: onnx.ModelProto) -> tuple[int, int]:
    """Height and width of the input ``image``."""
    _, height, width, _ = (dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim)
    return height, width


def check_graph(proto: onnx.ModelProto, signature: Signature) -> None:
    """Check that a converted graph is the one that was promised.

    Raises:
        ConversionError: The inputs or outputs differ from the signature, or more than two
            Transpose nodes are left, which cost time at every request.
    """
    inputs, outputs = tensor_specs(proto.graph.input), tensor_specs(proto.graph.output)
    if set(inputs) != set(signature.inputs) or set(outputs) != set(signature.outputs):
        raise ConversionError(
            f"The converted graph has {inputs} and {outputs}, "
            f"{signature.inputs} and {signature.outputs} were promised."
        )
    transposes = sum(node.op_type == "Transpose" for node in proto.graph.node)
    if transposes > MAX_TRANSPOSES:
        raise ConversionError(
            f"The converted graph has {transposes} Transpose nodes, at most {MAX_TRANSPOSES} may "
            "be left: look for a layer between the convolutions that works on another data layout."
        )


def extend(
    proto: onnx.ModelProto,
    prefix: str,
    text: str,
    outputs: Sequence[str],
    constants: Mapping[str, object],
    inputs: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """A copy of a graph with more nodes at its end, for new outputs or in place of old ones.

    Args:
        proto: What an earlier call with this prefix added goes.
        prefix: Begins the names of all that is added, but for the outputs.
        text: The nodes in ONNX's own text format; a line that begins with # is a comment. An old
            output ``x`` that gets another in its place goes by ``model_x``.
        outputs: Of the nodes, such as ``float[batch] score``.
        constants: By the names that the nodes have for them: floats, or lists of whole numbers.
        inputs: Tensors of the graph, by the names that the nodes have for them.
    """
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    added = parser.parse_graph(f"added () => ({', '.join(outputs)}) {{ {' '.join(lines)} }}")
    made = {output.name for output in added.output}
    extended = deepcopy(proto)
    for parts in (extended.graph.node, extended.graph.initializer):
        for earlier in [part for part in parts if part.name.startswith(f"{prefix}/")]:
            parts.remove(earlier)
    for old in [old for old in extended.graph.output if old.name in made]:
        extended.graph.output.remove(old)
    replaced = {name: f"{prefix}/model_{name}" for name in made}
    _rename(extended.graph.node, replaced)
    inner = {tensor for node in added.node for tensor in node.output} - made
    inner |= constants.keys() | {f"model_{name}" for name in made}
    _rename(added.node, {name: f"{prefix}/{name}" for name in inner} | dict(inputs or {}))
    for node in added.node:
        node.name = f"{prefix}/{node.output[0]}"
    extended.graph.node.extend(added.node)
    extended.graph.output.extend(added.output)
    for constant, value in constants.items():
        array = np.array(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        extended.graph.initializer.append(numpy_helper.from_array(array, f"{prefix}/{constant}"))
    return without_unused(extended)


def without_unused(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph less the nodes and constants that no output needs; it is changed in place."""
    OnnxModel(proto).prune_graph(allow_remove_graph_inputs=False)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _rename(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    for node in nodes:
        node.input[:] = [names.get(tensor, tensor) for tensor in node.input]
        node.output[:] = [names.get(tensor, tensor) for tensor in node.output]


def with_one_gray(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph whose first convolution reads one gray, not several equal channels.

    Its weights are summed over them. The gray is scaled behind the change of layout: with the
    channel last, ONNX Runtime takes forty times as long for arithmetic with a constant.
    """
    leaner = deepcopy(proto)
    graph = leaner.graph
    made = {tensor: node for node in graph.node for tensor in node.output}
    uses = Counter(tensor for node in graph.node for tensor in node.input)
    uses.update(output.name for output in graph.output)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for conv in [node for node in graph.node if node.op_type == "Conv"]:
        layout = made.get(conv.input[0])
        channels = made.get(layout.input[0]) if layout and layout.op_type == "Transpose" else None
        if not (layout and channels) or channels.op_type != "Concat":
            continue
        if conv.input[1] not in constants:
            continue
        kernel = numpy_helper.to_array(constants[conv.input[1]])
        nodes = (conv, layout, channels)
        settings = {a.name: helper.get_attribute_value(a) for n in nodes for a in n.attribute}
        alone = uses[layout.output[0]] == uses[channels.output[0]] == 1 == settings.get("group", 1)
        equal = len(set(channels.input)) == 1 and len(channels.input) == kernel.shape[1]
        last = settings["axis"] in {-1, 3} and settings["perm"] == [0, 3, 1, 2]
        if not (alone and equal and last):
            continue
        summed = kernel.sum(axis=1, keepdims=True, dtype=np.float64).astype(kernel.dtype)
        conv.input[1] = f"{conv.input[1]}/one_gray"
        graph.initializer.append(numpy_helper.from_array(summed, conv.input[1]))
        uses[channels.input[0]] -= len(channels.input) - 1
        _move_arithmetic(layout, channels.input[0], conv, made, uses, constants)
        # Their shapes have changed; the runtime infers them anew.
        del graph.value_info[:]
    OnnxModel(leaner).topological_sort()
    return without_unused(leaner)


def _move_arithmetic(
    layout: onnx.NodeProto,
    tensor: str,
    reader: onnx.NodeProto,
    made: Mapping[str, onnx.NodeProto],
    uses: Mapping[str, int],
    constants: Mapping[str, onnx.TensorProto],
) -> None:
    """Put a change of layout before what makes a tensor of another by constants, for its reader."""
    reader.input[list(reader.input).index(layout.output[0])] = tensor
    while uses[tensor] == 1 and tensor in made and made[tensor].op_type in ARITHMETIC:
        step = made[tensor]
        inner = [name for name in step.input if name not in constants]
        single = all(np.prod(constants[name].dims) == 1 for name in step.input if name in constants)
        if len(inner) != 1 or not single:
            break
        reader, tensor = step, inner[0]
    layout.input[0] = tensor
    reader.input[list(reader.input).index(tensor)] = layout.output[0]


def with_half_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph whose large convolution weights lie in the file as 16-bit floats.

    It computes in 32 bits all the same: the runtime widens them once, when it loads the graph.
    """
    smaller = deepcopy(proto)
    graph = smaller.graph
    weights = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    for tensor in [t for t in graph.initializer if t.name in weights]:
        values = numpy_helper.to_array(tensor)
        if values.size < 1024:  # gains nothing that anyone would notice
            continue
        name = f"{tensor.name}/half"
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), name))
        graph.initializer.remove(tensor)
        widen = helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT)
        widen.name = name
        graph.node.insert(0, widen)
    onnx.checker.check_model(smaller)
    return smaller


def with_whole_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The inverse of ``with_half_weights``, so that a layer's weights lie where it reads them."""
    proto = deepcopy(proto)
    kind = onnx.TensorProto.FLOAT16
    halves = {each.name: each for each in proto.graph.initializer if each.data_type == kind}
    for node in [n for n in proto.graph.node if n.op_type == "Cast" and n.input[0] in halves]:
        half = halves[node.input[0]]
        values = numpy_helper.to_array(half).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        proto.graph.initializer.remove(half)
        proto.graph.node.remove(node)
    return proto
