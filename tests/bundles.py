"""Real, tiny model bundles: a graph whose answers follow from how bright an image is.

The logit of ``pneumonia`` grows with the mean brightness and is 0 at one half, that of ``normal``
is its negative: a white image is pneumonia, a black one is normal, a middling one is neither.
Where a limit is asked for, the graph also says how familiar an image is: the more its darkest and
its brightest pixel differ, the less.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from contract.findings import Label
from contract.lungs import LungFieldLimits
from contract.manifest import (
    LUNG_MASK,
    MANIFEST_FILE,
    MODEL_FILE,
    PRECISION_FILES,
    Finding,
    Metric,
    ModelManifest,
    OutOfDistribution,
    Parity,
    Provenance,
    ReducedPrecision,
    SegmenterManifest,
    Signature,
    Variant,
    classifier_signature,
    read_manifest,
    segmenter_signature,
    sha256_digest,
)
from contract.preprocessing import PreprocessingSpec
from contract.quality import QualityLimits
from export.quality_graph import OUTPUT as QUALITY_OUTPUT
from export.quality_graph import add_quality

SIZE = 32
MAP_SIZE = 4
GAIN = 20.0
LABELS: tuple[Label, ...] = ("normal", "pneumonia")
OPERATING_POINT = 0.9
BALLAST_SIDE = 256
PROVENANCE = Provenance(
    recipe="none",
    dataset="synthetic",
    licence="Apache-2.0",
    training_images=1,
    validation_images=1,
    data_digest="none",
    git_revision="none",
    framework="onnx.helper",
    trained_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def expected_pneumonia(image: NDArray[np.uint8]) -> float:
    """The probability of pneumonia that the bundle's graph gives an image of its own size."""
    logit = GAIN * (float(image.mean()) / 255 - 0.5)
    return float(1 / (1 + np.exp(-2 * logit)))


def write_bundle(
    models: Path,
    name: str = "tiny",
    version: int = 1,
    *,
    size: int = SIZE,
    modalities: tuple[str, ...] = ("CR", "DX"),
    ballast: int = 0,
    quality: QualityLimits | None = None,
    ood_limit: float | None = None,
) -> Path:
    """Write ``<models>/<name>/<version>/``, and return it.

    The graph does ``ballast`` matrix products for nothing; 1000 take about half a second.
    ``ood_limit`` is the largest difference between two pixels of a familiar image, 0 to 255; None
    leaves the score out.
    """
    graph = brightness_graph(size, ballast, ood_score=ood_limit is not None)
    if quality is not None:
        graph = add_quality(graph, quality.position)
    manifest = make_manifest(
        "sha256:" + 64 * "0", name, version, size, modalities, quality=quality, ood_limit=ood_limit
    )
    return _write(models, graph, manifest)


def write_fragile_bundle(models: Path, fails_on: int = 255) -> Path:
    """Write a bundle whose graph fails on an image that has this brightness all over."""
    graph = brightness_graph()
    _insert_a_failing_lookup(graph, fails_on)
    return _write(models, graph, make_manifest("sha256:" + 64 * "0", "fragile"))


def write_segmenter_bundle(
    models: Path,
    name: str = "lungs",
    version: int = 1,
    *,
    lung_field: LungFieldLimits | None = None,
    fails_on: int | None = None,
) -> Path:
    """Write a segmenter that takes what is darker than one half for lung, and return its folder.

    Its graph fails on an image that has the brightness ``fails_on`` all over.
    """
    graph = darkness_graph()
    if fails_on is not None:
        _insert_a_failing_lookup(graph, fails_on)
    return _write(models, graph, make_segmenter_manifest(name, version, lung_field))


def darkness_graph() -> onnx.ModelProto:
    """The probability of lung: 1 minus the brightness."""
    signature = segmenter_signature(PreprocessingSpec(height=SIZE, width=SIZE))
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "white"], ["brightness"]),
        helper.make_node("Sub", ["one", "brightness"], [LUNG_MASK]),
    ]
    constants = {"white": np.array(255, np.float32), "one": np.array(1, np.float32)}
    return _model(nodes, "darkness", signature, constants)


def make_segmenter_manifest(
    name: str = "lungs", version: int = 1, lung_field: LungFieldLimits | None = None
) -> SegmenterManifest:
    """The manifest of such a graph, without its digest."""
    spec = PreprocessingSpec(height=SIZE, width=SIZE)
    return SegmenterManifest(
        name=name,
        version=version,
        summary="Takes what is dark for lung; for tests.",
        digest="sha256:" + 64 * "0",
        signature=segmenter_signature(spec),
        preprocessing=spec,
        metrics=(),
        provenance=PROVENANCE,
        parity=Parity(images=1, max_probability_difference=0.0, tolerance=1e-5),
        lung_field=lung_field,
    )


def add_variant(bundle: Path, precision: ReducedPrecision) -> bytes:
    """Give a bundle a file of another precision, the same graph in other bytes: these."""
    graph = onnx.load(bundle / MODEL_FILE)
    graph.producer_name = precision
    model = bytes(graph.SerializeToString())
    (bundle / PRECISION_FILES[precision]).write_bytes(model)
    variant = make_variant(precision, sha256_digest(model))
    describe(bundle, variants=(*read_manifest(bundle).variants, variant))
    return model


def describe(bundle: Path, **changes: object) -> None:
    """Change what the manifest of a bundle says."""
    manifest = read_manifest(bundle).model_copy(update=changes)
    (bundle / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2))


def make_variant(precision: ReducedPrecision, digest: str) -> Variant:
    """What a manifest says of such a file."""
    return Variant(
        precision=precision,
        digest=digest,
        images=10,
        auroc=1.0,
        auroc_fp32=1.0,
        agreement=1.0,
        speedup=1.0,
        runtime="none",
    )


def brightness_graph(
    size: int = SIZE, ballast: int = 0, *, ood_score: bool = False
) -> onnx.ModelProto:
    """The graph: one by one convolution, activation map, global average, softmax."""
    signature = classifier_signature(
        PreprocessingSpec(height=size, width=size), 2, (MAP_SIZE,) * 2, ood_score=ood_score
    )
    pool = size // MAP_SIZE
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weight", "bias"], ["evidence"]),
        helper.make_node(
            "AveragePool", ["evidence"], ["map"], kernel_shape=[pool] * 2, strides=[pool] * 2
        ),
        helper.make_node("Transpose", ["map"], ["activation_map"], perm=[0, 2, 3, 1]),
        helper.make_node("ReduceMean", ["activation_map", "plane"], ["mean"], keepdims=0),
        *_ballast(ballast),
        helper.make_node("Add", ["mean", "nothing"], ["logits"]),
        *(_range_of_grays() if ood_score else ()),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    weight = np.array([-GAIN, GAIN], np.float32).reshape(2, 1, 1, 1) / 255
    constants: dict[str, NDArray[np.generic]] = {
        "weight": weight,
        "bias": np.array([GAIN / 2, -GAIN / 2], np.float32),
        "plane": np.array([1, 2], np.int64),
        "volume": np.array([1, 2, 3], np.int64),
        "trips": np.array(ballast, np.int64),
        "seed": np.full((BALLAST_SIDE, BALLAST_SIDE), 1 / BALLAST_SIDE, np.float32),
        # What the ballast comes to.
        "zero" if ballast else "nothing": np.zeros((), np.float32),
    }
    return _model(nodes, "brightness", signature, constants)


def make_manifest(
    digest: str,
    name: str = "tiny",
    version: int = 1,
    size: int = SIZE,
    modalities: tuple[str, ...] = ("CR", "DX"),
    *,
    quality: QualityLimits | None = None,
    ood_limit: float | None = None,
) -> ModelManifest:
    """The manifest of such a graph."""
    spec = PreprocessingSpec(height=size, width=size)
    signature = classifier_signature(
        spec, len(LABELS), (MAP_SIZE, MAP_SIZE), ood_score=ood_limit is not None
    )
    if quality is not None:
        outputs = (*signature.outputs, QUALITY_OUTPUT)
        signature = signature.model_copy(update={"outputs": outputs})
    return ModelManifest(
        name=name,
        version=version,
        summary="Tells bright images from dark ones; for tests.",
        digest=digest,
        signature=signature,
        preprocessing=spec,
        modalities=modalities,
        body_parts=("CHEST",),
        findings=tuple(
            Finding(
                label=label,
                operating_point=OPERATING_POINT,
                operating_point_rule="fixed, for tests",
                activation_scale=GAIN / 2,
            )
            for label in LABELS
        ),
        temperature=1.0,
        metrics=(
            Metric(dataset="synthetic", name="auroc", value=1.0, lower=0.9, upper=1.0, images=10),
        ),
        provenance=PROVENANCE,
        parity=Parity(images=1, max_probability_difference=0.0, tolerance=1e-5),
        quality=quality,
        out_of_distribution=None
        if ood_limit is None
        else OutOfDistribution(limit=ood_limit, method="the range of grays"),
    )


def _model(
    nodes: list[onnx.NodeProto],
    name: str,
    signature: Signature,
    constants: Mapping[str, NDArray[np.generic]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        name,
        [_value(spec.name, spec.dtype, spec.shape) for spec in signature.inputs],
        [_value(spec.name, spec.dtype, spec.shape) for spec in signature.outputs],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _write(
    models: Path, graph: onnx.ModelProto, manifest: ModelManifest | SegmenterManifest
) -> Path:
    bundle = models / manifest.name / str(manifest.version)
    bundle.mkdir(parents=True)
    model = graph.SerializeToString()
    (bundle / MODEL_FILE).write_bytes(model)
    described = manifest.model_copy(update={"digest": sha256_digest(model)})
    (bundle / MANIFEST_FILE).write_text(described.model_dump_json(indent=2))
    return bundle


def _insert_a_failing_lookup(model: onnx.ModelProto, fails_on: int) -> None:
    """Look the pixels up in a table of zeros, at an entry that is outside of it for one value."""
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "table"))
    graph.initializer.append(numpy_helper.from_array(np.array(fails_on, np.float32), "value"))
    graph.initializer.append(numpy_helper.from_array(np.array([1, 2, 3]), "whole_image"))
    last = graph.node.pop()
    graph.node.extend(
        [
            helper.make_node("Equal", ["float", "value"], ["is_value"]),
            helper.make_node("Cast", ["is_value"], ["matches"], to=TensorProto.FLOAT),
            # Of one image all pixels; of a batch any image.
            helper.make_node("ReduceMin", ["matches", "whole_image"], ["all_match"], keepdims=0),
            helper.make_node("ReduceMax", ["all_match"], ["any_matches"], keepdims=0),
            helper.make_node("Cast", ["any_matches"], ["entry"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "entry"], ["looked_up"]),
            helper.make_node("Add", [last.input[0], "looked_up"], ["safe"]),
            helper.make_node(last.op_type, ["safe", *last.input[1:]], list(last.output)),
        ]
    )


def _range_of_grays() -> list[onnx.NodeProto]:
    return [
        helper.make_node("ReduceMax", ["float", "volume"], ["brightest"], keepdims=0),
        helper.make_node("ReduceMin", ["float", "volume"], ["darkest"], keepdims=0),
        helper.make_node("Sub", ["brightest", "darkest"], ["ood_score"]),
    ]


def _ballast(trips: int) -> list[onnx.NodeProto]:
    """A loop of matrix products whose result, a zero, still has to be computed."""
    if not trips:
        return []
    matrix = [BALLAST_SIDE, BALLAST_SIDE]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["still_on"]),
            helper.make_node("MatMul", ["state", "seed"], ["next"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, matrix),
        ],
        [
            helper.make_tensor_value_info("still_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, matrix),
        ],
    )
    return [
        helper.make_node("ReduceMax", ["mean"], ["scalar"], keepdims=0),
        helper.make_node("Mul", ["seed", "scalar"], ["start"]),
        helper.make_node("Loop", ["trips", "", "start"], ["end"], body=body),
        helper.make_node("ReduceMax", ["end"], ["peak"], keepdims=0),
        helper.make_node("Mul", ["peak", "zero"], ["nothing"]),
    ]


def _value(name: str, dtype: str, shape: tuple[int | str, ...]) -> onnx.ValueInfoProto:
    element = TensorProto.UINT8 if dtype == "uint8" else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, element, list(shape))
