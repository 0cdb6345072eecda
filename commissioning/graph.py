"""The model's graph with a frozen feature graph merged in, and with the head that a site earned."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose, numpy_helper

from commissioning.errors import BackboneUnusable
from contract.manifest import SOURCE_DISTANCE
from export.graph import extend, image_size, without_unused

EMBEDDING, POOLED = "site_embedding", "site_pooled"
_PIXELS = "site_pixels"
_COLOURS = {1, 3}
_IMAGE_RANK, _WITH_BIAS = 4, 3
Source = Literal["logits", "pooled", "embedding"]
"""What a head is put on: the model's evidence, the input of its last layer, the frozen features."""
# The embedding is the mean of a map, or a map of one pixel; the last layer's input is NCHW.
_FEATURES = {4: "features = Identity (backbone)", 2: "features = Unsqueeze (backbone, plane)"}
_EMBEDDING = f"{EMBEDDING} = ReduceMean <keepdims = 0> (features, plane)"
_LAST = f"\n{POOLED} = ReduceMean <keepdims = 0> (last, last_plane)"
_PLANES = {"plane": [1, 2], "last_plane": [2, 3]}
# From the model's image to what the feature graph takes: layout, size, colours, scale.
_PREPARE = """
values = Cast <to = 1> (image)
plane = Reshape (values, plane_shape)
sized = Resize <mode = "linear", axes = [2, 3]> (plane, "", "", size)
centred = Sub (sized, mean)
scaled = Div (centred, scale)
laid_out = Transpose <perm = {order}> (scaled)
site_pixels = Cast <to = {dtype}> (laid_out)
"""
_HEAD = """
evidence = MatMul (map, weights)
activation_map = Add (evidence, bias)
logits = ReduceMean <keepdims = 0> (activation_map, plane)
probabilities = Softmax <axis = -1> (logits)
moved = Sub (embedding, centre)
placed = MatMul (moved, whitening)
squares = Mul (placed, placed)
variance = ReduceMean <keepdims = 0> (squares, last)
distance = Sqrt (variance)
site_share = Div (distance, limit)
"""
_LARGER_SHARE = """
model_share = Div (model_ood_score, model_limit)
ood_score = Max (site_share, model_share)
"""
_SITE_SHARE = "ood_score = Identity (site_share)"


@dataclass(frozen=True, slots=True)
class Backbone:
    """A frozen feature graph: one image in, one pooled embedding or one map of features out.

    ``mean`` and ``scale`` are subtracted from and divided into pixels of 0 to 255, one number or
    one for each colour. A map is (batch, height, width, channels) and is pooled by its mean, so
    that a head on it has an exact activation map; a pooled embedding has none.
    """

    proto: onnx.ModelProto
    name: str
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True)
class Head:
    """A linear layer on ``source``, float32 ``weights`` (channels, classes), ``bias`` (classes,).

    ``columns`` says which classes of the model they stand for.
    """

    source: Source
    columns: tuple[int, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SiteDomain:
    """How unlike the site's images an image is; float32.

    ``centre`` (d,) and ``whitening`` (d, k) place an embedding; ``limit`` is the largest distance
    of a familiar image, ``model_limit`` that of the model's own score.
    """

    centre: NDArray[np.float32]
    whitening: NDArray[np.float32]
    limit: float
    model_limit: float


def measurement_graph(model: onnx.ModelProto, backbone: Backbone) -> onnx.ModelProto:
    """The model with two more outputs: the embedding, and the pooled input of its last layer.

    The second is missing where the model's map is not made by a convolution of one pixel.

    Raises:
        BackboneUnusable: Its input or output is of another kind.
    """
    merged = _with_backbone(model, backbone)
    target = merged.graph.output.pop()
    shape, image = _shape(target), _shape(backbone.proto.graph.input[0])
    sides = [side for side in image[1:] if side not in _COLOURS]
    # Such as a segmenter's: one number, or one for each pixel, is no feature.
    mask = shape[-1:] == [1] or sides in (shape[1:3], shape[2:])
    if len(shape) not in _FEATURES or mask:
        raise BackboneUnusable(
            "The feature graph must give one pooled embedding (batch, d) or one map of features "
            f"(batch, h, w, channels). It gives {shape[1:]} of an image."
        )
    text = f"{_FEATURES[len(shape)]}\n{_EMBEDDING}"
    outputs, inputs = [f"float[batch, d] {EMBEDDING}"], {"backbone": target.name}
    if layer := last_layer(model):
        text += _LAST
        outputs.append(f"float[batch, channels] {POOLED}")
        inputs["last"] = layer[0].input[0]
    return extend(merged, "site-maps", text, outputs, _PLANES, inputs)


def site_graph(
    model: onnx.ModelProto, backbone: Backbone, head: Head, domain: SiteDomain
) -> onnx.ModelProto:
    """The model with the site's head and the site's score of the unfamiliar.

    Outputs keep their names. The score is the larger of the model's and the site's distance, each
    as a share of its limit: 1 is the limit.
    """
    if head.source == "pooled":
        # In its own place, so that the map keeps what the model makes of it.
        model, head = _refitted(model, head)
    merged = measurement_graph(model, backbone)
    source = "site-maps/features" if head.source == "embedding" else "activation_map"
    height, width = _side_lengths(merged, source)
    scored = any(output.name == "ood_score" for output in model.graph.output)
    text = _HEAD + (_LARGER_SHARE if scored else _SITE_SHARE)
    classes = len(head.bias)
    outputs = [
        f"float[batch, {classes}] probabilities",
        f"float[batch, {classes}] logits",
        f"float[batch, {height}, {width}, {classes}] activation_map",
        "float[batch] ood_score",
    ]
    constants = {
        "weights": head.weights, "bias": head.bias, "plane": [1, 2], "last": [1],
        "centre": domain.centre, "whitening": domain.whitening, "limit": domain.limit,
        "model_limit": domain.model_limit,
    }  # fmt: skip
    source = source.replace("activation_map", "site/model_activation_map")
    inputs = {"map": source, "embedding": EMBEDDING}
    graph = extend(merged, "site", text, outputs, constants, inputs)
    # What the site showed stands in place of what the training's sources did.
    gone = {EMBEDDING, POOLED, SOURCE_DISTANCE}
    for output in [o for o in graph.graph.output if o.name in gone]:
        graph.graph.output.remove(output)
    return without_unused(graph)


def last_layer(
    model: onnx.ModelProto,
) -> tuple[onnx.NodeProto, NDArray[np.float32], NDArray[np.float32]] | None:
    """The convolution of one pixel that makes the model's evidence; None where there is none.

    With its weights (channels, classes) and its bias (classes,).
    """
    (evidence,) = (output for output in model.graph.output if output.name == "activation_map")
    classes = evidence.type.tensor_type.shape.dim[-1].dim_value
    made = {output: node for node in model.graph.node for output in node.output}
    node = made.get("activation_map")
    while node is not None and node.op_type != "Conv":
        node = made.get(node.input[0])
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    if node is None or len(node.input) < _WITH_BIAS or not {*node.input[1:3]} <= held.keys():
        return None
    weights, bias = (numpy_helper.to_array(held[name]) for name in node.input[1:3])
    if weights.shape[2:] != (1, 1) or len(weights) != classes:
        return None
    return node, weights[:, :, 0, 0].T, bias


def _refitted(model: onnx.ModelProto, head: Head) -> tuple[onnx.ModelProto, Head]:
    """The model with another last layer, and the head that takes its logits as they are."""
    refitted = deepcopy(model)
    layer = last_layer(refitted)
    assert layer is not None, "it was fitted"  # noqa: S101
    conv, weights, bias = layer[0], layer[1].copy(), layer[2].copy()
    columns = list(head.columns)
    weights[:, columns], bias[columns] = head.weights, head.bias
    new = dict(zip(conv.input[1:3], (weights.T[:, :, np.newaxis, np.newaxis], bias), strict=True))
    for tensor in refitted.graph.initializer:
        if tensor.name in new:
            values = np.ascontiguousarray(new[tensor.name])
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    select = np.eye(len(bias), dtype=np.float32)[:, columns]
    return refitted, Head("logits", head.columns, select, np.zeros(len(columns), np.float32))


def _with_backbone(model: onnx.ModelProto, backbone: Backbone) -> onnx.ModelProto:
    """The model with the feature graph's output as its last one."""
    inner = compose.add_prefix(backbone.proto, "site-backbone/")
    if len(inner.graph.input) != 1 or len(inner.graph.output) != 1:
        raise BackboneUnusable("The feature graph must have one input and one output.")
    prepared = _with_pixels(model, inner.graph.input[0], backbone)
    inner.ir_version = prepared.ir_version = max(inner.ir_version, prepared.ir_version)
    outputs = [output.name for output in model.graph.output]
    try:
        return compose.merge_models(
            prepared,
            inner,
            io_map=[(_PIXELS, inner.graph.input[0].name)],
            outputs=[*outputs, inner.graph.output[0].name],
        )
    except ValueError as error:
        raise BackboneUnusable(
            f"The feature graph cannot be merged: {error}. Where the opset differs, convert it "
            "with onnx.version_converter first."
        ) from error


def _with_pixels(
    model: onnx.ModelProto, target: onnx.ValueInfoProto, backbone: Backbone
) -> onnx.ModelProto:
    """The model with one more output: its image as the feature graph takes it."""
    shape = _shape(target)
    if len(shape) != _IMAGE_RANK or not {shape[1], shape[3]} & _COLOURS:
        raise BackboneUnusable("The feature graph must take images, gray or of three colours.")
    last = shape[3] in _COLOURS
    colours, size = (shape[3], shape[1:3]) if last else (shape[1], shape[2:4])
    if not all(size):
        raise BackboneUnusable("The feature graph must take images of one fixed size.")
    if {len(backbone.mean), len(backbone.scale)} - {1, colours} or 0 in backbone.scale:
        raise BackboneUnusable(f"Mean and scale are one number or {colours}, and no scale is 0.")

    def by_colour(values: Sequence[float]) -> NDArray[np.float32]:
        return np.broadcast_to(np.array(values, np.float32), colours).reshape(1, colours, 1, 1)

    text = _PREPARE.format(
        order=[0, 2, 3, 1] if last else [0, 1, 2, 3], dtype=target.type.tensor_type.elem_type
    )
    kind = onnx.helper.tensor_dtype_to_string(target.type.tensor_type.elem_type)
    kind = kind.removeprefix("TensorProto.").lower()
    sizes = ", ".join(map(str, shape[1:]))
    constants = {
        "plane_shape": [-1, 1, *image_size(model)], "size": size,
        "mean": by_colour(backbone.mean), "scale": by_colour(backbone.scale),
    }  # fmt: skip
    return extend(model, "site-prepare", text, [f"{kind}[batch, {sizes}] {_PIXELS}"], constants)


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    """0 where a dimension may vary."""
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _side_lengths(proto: onnx.ModelProto, tensor: str) -> tuple[int, int]:
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    [found] = (v for v in (*inferred.value_info, *inferred.output) if v.name == tensor)
    height, width = _shape(found)[1:3]
    return height, width
