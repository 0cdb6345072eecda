"""The model's graph with a frozen feature graph merged in, and with the head that a site earned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from commissioning.errors import BackboneUnusable
from contract.manifest import SOURCE_DISTANCE

PREFIX = "site/"
EMBEDDING, POOLED = f"{PREFIX}embedding", f"{PREFIX}pooled"
_SPATIAL = f"{PREFIX}features"
_COLOURS = 3
_MAP, _POOLED, _WITH_BIAS = 4, 2, 3


@dataclass(frozen=True, slots=True)
class Backbone:
    """A frozen feature graph: one image in, one pooled embedding or one map of features out.

    ``mean`` and ``scale`` are subtracted from and divided into pixels of 0 to 255, one number or
    one for each colour. A map is (batch, height, width, channels) and is pooled by its mean, so
    that a head on it has an exact activation map; a pooled embedding has none.
    """

    proto: onnx.ModelProto
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True)
class Head:
    """A linear layer, float32 ``weights`` (channels, classes) and ``bias`` (classes,).

    ``source`` is what it is applied to: "logits" (the model's own map of evidence) or "embedding".
    """

    source: str
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


class _Builder:
    """Appends nodes and constants to a graph, all under the site's prefix where they are inner."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        """Add a constant once and return its name."""
        full = f"{PREFIX}{name}"
        if all(tensor.name != full for tensor in self.graph.initializer):
            self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), full))
        return full

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:  # noqa: ANN401
        """Add a node and return the name of its output."""
        self.graph.node.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def mean(self, source: str, output: str, axes: tuple[int, ...]) -> str:
        """Add a mean over axes, which do not stay."""
        name = "axes_" + "_".join(map(str, axes))
        axes_name = self.constant(name, np.array(axes, np.int64))
        return self.add("ReduceMean", [source, axes_name], output, keepdims=0)


def measurement_graph(model: onnx.ModelProto, backbone: Backbone) -> onnx.ModelProto:
    """The model with two more outputs: the pooled input of its last layer, and the embedding.

    The first is missing where the model's map is not made by a convolution of one pixel.

    Raises:
        BackboneUnusable: Its input or output is of another kind.
    """
    merged = _with_backbone(model, backbone)
    wanted = [EMBEDDING]
    conv = last_layer(model)
    if conv is not None:
        wanted.append(_Builder(merged.graph).mean(conv.input[0], POOLED, (2, 3)))
    for name in wanted:
        merged.graph.output.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", None])
        )
    return merged


def site_graph(
    model: onnx.ModelProto,
    backbone: Backbone,
    head: Head,
    domain: SiteDomain,
    last_layer_weights: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
) -> onnx.ModelProto:
    """The model with the site's head and the site's score of the unfamiliar.

    Outputs keep their names. The score is the larger of the model's and the site's distance, each
    as a share of its limit: 1 is the limit.

    Args:
        model: The shipped graph.
        backbone: The frozen features.
        head: What makes the map of evidence, the logits and the probabilities.
        domain: Of the site.
        last_layer_weights: Replace the weights (classes, channels) and the bias (classes,) of the
            model's own last layer; None leaves them.
    """
    merged = _with_backbone(model, backbone)
    if last_layer_weights is not None:
        _replace_last_layer(merged, *last_layer_weights)
    build, classes = _Builder(merged.graph), head.weights.shape[1]
    _rename(merged.graph, {name: f"{PREFIX}model_{name}" for name in _replaced(merged.graph)})
    source = f"{PREFIX}model_activation_map" if head.source == "logits" else _SPATIAL
    weights, bias = build.constant("weights", head.weights), build.constant("bias", head.bias)
    evidence = build.add("MatMul", [source, weights], f"{PREFIX}evidence")
    build.add("Add", [evidence, bias], "activation_map")
    build.mean("activation_map", "logits", (1, 2))
    build.add("Softmax", ["logits"], "probabilities", axis=-1)
    _add_domain(build, domain)
    _retype(merged.graph, classes, _map_shape(head, merged, model))
    _drop_unused(merged)
    onnx.checker.check_model(merged)
    return merged


def last_layer(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """The convolution of one pixel that makes the model's evidence; None where there is none."""
    (evidence,) = (output for output in model.graph.output if output.name == "activation_map")
    classes = evidence.type.tensor_type.shape.dim[-1].dim_value
    made = {output: node for node in model.graph.node for output in node.output}
    tensor = "activation_map"
    while (node := made.get(tensor)) is not None:
        if node.op_type == "Conv":
            weights = _initializer(model, node.input[1])
            found = weights is not None and weights.shape[2:] == (1, 1) and len(weights) == classes
            return node if found else None
        tensor = node.input[0]
    return None


def last_layer_weights(
    model: onnx.ModelProto,
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """The weights (classes, channels) and the bias (classes,) of ``last_layer``."""
    conv = last_layer(model)
    if conv is None or len(conv.input) < _WITH_BIAS:
        return None
    weights, bias = (_initializer(model, name) for name in conv.input[1:3])
    return None if weights is None or bias is None else (weights[:, :, 0, 0], bias)


def _with_backbone(model: onnx.ModelProto, backbone: Backbone) -> onnx.ModelProto:
    merged = onnx.ModelProto()
    merged.CopyFrom(model)
    del merged.graph.value_info[:]
    inner = compose.add_prefix(backbone.proto, f"{PREFIX}backbone/")
    if len(inner.graph.input) != 1 or len(inner.graph.output) != 1:
        raise BackboneUnusable("The feature graph must have one input and one output.")
    source, target = inner.graph.input[0], inner.graph.output[0]
    build = _Builder(merged.graph)
    _prepare(build, source, backbone)
    merged.graph.node.extend(inner.graph.node)
    merged.graph.initializer.extend(inner.graph.initializer)
    _merge_opsets(merged, inner)
    rank = len(target.type.tensor_type.shape.dim)
    if rank == _MAP:
        build.mean(build.add("Identity", [target.name], _SPATIAL), EMBEDDING, (1, 2))
    elif rank == _POOLED:
        embedding = build.add("Identity", [target.name], EMBEDDING)
        axes = build.constant("one_pixel", np.array([1, 2], np.int64))
        build.add("Unsqueeze", [embedding, axes], _SPATIAL)
    else:
        raise BackboneUnusable("The feature graph must give (batch, d) or (batch, h, w, channels).")
    return merged


def _prepare(build: _Builder, source: onnx.ValueInfoProto, backbone: Backbone) -> None:
    """From the model's image to what the feature graph takes: size, layout, colours, scale."""
    shape = [dim.dim_value for dim in source.type.tensor_type.shape.dim]
    if len(shape) != _MAP or not {shape[1], shape[3]} & {1, _COLOURS}:
        raise BackboneUnusable("The feature graph must take images, gray or of three colours.")
    last = shape[3] in {1, _COLOURS}
    colours, size = (shape[3], shape[1:3]) if last else (shape[1], shape[2:4])
    if not all(size):
        raise BackboneUnusable("The feature graph must take images of one fixed size.")
    own = image_size(build.graph)
    layout = build.constant("plane_shape", np.array([-1, 1, *own], np.int64))
    plane = build.add("Cast", ["image"], f"{PREFIX}float", to=TensorProto.FLOAT)
    plane = build.add("Reshape", [plane, layout], f"{PREFIX}plane")
    if tuple(size) != own:
        sizes = build.constant("size", np.array(size, np.int64))
        plane = build.add(
            "Resize", [plane, "", "", sizes], f"{PREFIX}resized", mode="linear", axes=[2, 3]
        )
    if colours > 1:
        plane = build.add("Concat", [plane] * colours, f"{PREFIX}coloured", axis=1)
    for kind, name in (("Sub", "mean"), ("Div", "scale")):
        values = np.asarray(getattr(backbone, name), np.float32).reshape(1, -1, 1, 1)
        plane = build.add(kind, [plane, build.constant(name, values)], f"{PREFIX}{kind}")
    if last:
        plane = build.add("Transpose", [plane], f"{PREFIX}laid_out", perm=[0, 2, 3, 1])
    build.add("Cast", [plane], source.name, to=source.type.tensor_type.elem_type)


def _add_domain(build: _Builder, domain: SiteDomain) -> None:
    centre = build.constant("centre", domain.centre)
    whitening = build.constant("whitening", domain.whitening)
    limit = build.constant("limit", np.array([domain.limit], np.float32))
    moved = build.add("Sub", [EMBEDDING, centre], f"{PREFIX}moved")
    placed = build.add("MatMul", [moved, whitening], f"{PREFIX}placed")
    squares = build.add("Mul", [placed, placed], f"{PREFIX}squares")
    variance = build.mean(squares, f"{PREFIX}variance", (1,))
    distance = build.add("Sqrt", [variance], f"{PREFIX}distance")
    shares = [build.add("Div", [distance, limit], f"{PREFIX}site_share")]
    if any(f"{PREFIX}model_ood_score" in node.output for node in build.graph.node):
        own = build.constant("model_limit", np.array([domain.model_limit], np.float32))
        shares.append(build.add("Div", [f"{PREFIX}model_ood_score", own], f"{PREFIX}model_share"))
    build.add("Max", shares, "ood_score")


def _replaced(graph: onnx.GraphProto) -> list[str]:
    names = {"probabilities", "logits", "activation_map", "ood_score"}
    return [output.name for output in graph.output if output.name in names]


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _retype(graph: onnx.GraphProto, classes: int, map_shape: tuple[int, int]) -> None:
    gone = {*_replaced(graph), SOURCE_DISTANCE}
    kept = [output for output in graph.output if output.name not in gone]
    shapes: dict[str, list[int | str]] = {
        "probabilities": ["batch", classes],
        "logits": ["batch", classes],
        "activation_map": ["batch", *map_shape, classes],
        "ood_score": ["batch"],
    }
    del graph.output[:]
    graph.output.extend(kept)
    for name, shape in shapes.items():
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _map_shape(head: Head, merged: onnx.ModelProto, model: onnx.ModelProto) -> tuple[int, int]:
    if head.source == "logits":
        (own,) = (o for o in model.graph.output if o.name == "activation_map")
        height, width = (dim.dim_value for dim in own.type.tensor_type.shape.dim[1:3])
        return height, width
    trial = onnx.ModelProto()
    trial.CopyFrom(merged)
    shapes = onnx.shape_inference.infer_shapes(trial, data_prop=True).graph.value_info
    (found,) = (value for value in shapes if value.name == _SPATIAL)
    height, width = (dim.dim_value for dim in found.type.tensor_type.shape.dim[1:3])
    return height, width


def _drop_unused(merged: onnx.ModelProto) -> None:
    """Remove what no output needs any more, the model's own network where its head is gone."""
    needed = {output.name for output in merged.graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(merged.graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    del merged.graph.node[:]
    merged.graph.node.extend(reversed(kept))
    constants = [tensor for tensor in merged.graph.initializer if tensor.name in needed]
    del merged.graph.initializer[:]
    merged.graph.initializer.extend(constants)


def _replace_last_layer(
    model: onnx.ModelProto, weights: NDArray[np.float32], bias: NDArray[np.float32]
) -> None:
    conv = last_layer(model)
    if conv is None:  # pragma: no cover - the candidate exists only where the layer does
        raise BackboneUnusable("The model has no last layer to replace.")
    for name, values in zip(
        conv.input[1:3], (weights[:, :, np.newaxis, np.newaxis], bias), strict=True
    ):
        new = f"{PREFIX}{name}"
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), new))
    conv.input[1], conv.input[2] = f"{PREFIX}{conv.input[1]}", f"{PREFIX}{conv.input[2]}"


def image_size(graph: onnx.GraphProto) -> tuple[int, int]:
    """Height and width of the model's input."""
    height, width = (dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim[1:3])
    return height, width


def _merge_opsets(merged: onnx.ModelProto, inner: onnx.ModelProto) -> None:
    own = {entry.domain: entry.version for entry in merged.opset_import}
    for entry in inner.opset_import:
        if own.setdefault(entry.domain, entry.version) != entry.version:
            raise BackboneUnusable(
                f"The feature graph has opset {entry.version} of {entry.domain or 'ai.onnx'}, the "
                f"model {own[entry.domain]}. Convert it with onnx.version_converter first."
            )
    del merged.opset_import[:]
    merged.opset_import.extend(helper.make_opsetid(*item) for item in own.items())
    merged.ir_version = max(merged.ir_version, inner.ir_version)


def _initializer(model: onnx.ModelProto, name: str) -> NDArray[np.float32] | None:
    return next((numpy_helper.to_array(t) for t in model.graph.initializer if t.name == name), None)
