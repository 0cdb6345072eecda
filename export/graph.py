"""What can be read from an ONNX graph, or set right in it, without running it."""

from collections.abc import Iterable

import onnx

from contract.manifest import Signature, TensorSpec
from export.errors import ConversionError

MAX_TRANSPOSES = 2


def with_named_batch_axis(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Call the first axis of every input and output ``batch``, as the manifest does."""
    named = onnx.ModelProto()
    named.CopyFrom(proto)
    for value in (*named.graph.input, *named.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    # Shapes of inner tensors still carry the old axis name; the runtime infers them anew.
    del named.graph.value_info[:]
    onnx.checker.check_model(named)
    return named


def tensor_specs(values: Iterable[onnx.ValueInfoProto]) -> tuple[TensorSpec, ...]:
    """The names, dtypes and shapes of a graph's inputs or outputs."""
    return tuple(_tensor_spec(value) for value in values)


def _tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
    return TensorSpec.model_validate({"name": value.name, "dtype": dtype, "shape": shape})


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
