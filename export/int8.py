"""A graph with 8-bit convolutions: for CPUs, static, with a scale for each channel."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from export.backbone import inner_nodes, is_depthwise, named
from export.errors import VariantRefused

BATCH = 16
# What ONNX Runtime computes in 8 bits without going back to floats between two convolutions.
_BETWEEN = ("Relu", "Clip", "MaxPool", "Add")


def to_int8(model: bytes, images: NDArray[np.uint8]) -> bytes:
    """Quantize the convolutions of a graph between the first one and the head.

    Weights have seven bits. Processors without VNNI add two products of eight bits each in sixteen,
    and what does not fit is cut off without a word: with seven it always fits, so that the answers
    are the same everywhere.

    Args:
        model: The bytes of model.onnx.
        images: uint8, shape (n, height, width, 1), of the training split: they say how large the
            activations become.

    Returns:
        The bytes of a graph with the same inputs and outputs.

    Raises:
        VariantRefused: It has no convolution that would gain from it.
    """
    proto = named(onnx.load_from_string(model))
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
            _Images(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", *_BETWEEN],
            nodes_to_quantize=[node.name for node in nodes],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return target.read_bytes()


def _gains(node: onnx.NodeProto, constants: set[str]) -> bool:
    if node.op_type == "Conv":
        return not is_depthwise(node)
    # A sum with a constant is half of a batch normalisation, which belongs to a float convolution.
    return node.op_type in _BETWEEN and (node.op_type != "Add" or constants.isdisjoint(node.input))


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Hands images over in batches."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._batches = self._split(images)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(self._batches, None)

    def _split(self, images: NDArray[np.uint8]) -> Iterator[dict[str, NDArray[np.uint8]]]:
        for start in range(0, len(images), BATCH):
            yield {"image": images[start : start + BATCH]}
