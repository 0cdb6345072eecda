"""manifest.json: all that the service needs to know of a model, beside the graph itself.

A bundle is a folder ``models/<name>/<version>/`` with ``model.onnx``, ``manifest.json`` and
``model-card.md``. Export writes it, the service reads it; they meet nowhere else.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

import numpy as np
from pydantic import Field, ValidationError, model_validator

from contract.decision import Evidence
from contract.errors import DigestMismatch, InvalidManifest, SignatureMismatch
from contract.findings import CODES, Code, Label
from contract.lungs import LungFieldLimits
from contract.preprocessing import PreprocessingSpec
from contract.quality import Frozen, QualityLimits

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.onnx"
CARD_FILE = "model-card.md"
FIGURES = "figures"
GOLDEN_FILE = "golden.npz"
OOD_SCORE: Final = "ood_score"
SOURCE_DISTANCE: Final = "source_distance"
LUNG_MASK: Final = "lung_mask"
QUALITY: Final = "quality"
INTENDED_USE: Final = "Research only. Not for diagnosis."
RADIOGRAPHY = frozenset({"CR", "DX"})
# Of the histograms in which a service's answers are compared with a site's own reference.
PROBABILITY_EDGES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
OOD_EDGES = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0)

ReducedPrecision = Literal["int8", "fp16"]
Precision = Literal["fp32", "int8", "fp16"]
PRECISION_FILES: Final[Mapping[Precision, str]] = {
    "fp32": MODEL_FILE,
    "int8": "model.int8.onnx",
    "fp16": "model.fp16.onnx",
}


class TensorSpec(Frozen):
    """One input or output of the graph. A dimension is a number, or a name where it may vary."""

    name: str
    dtype: Literal["uint8", "float32"]
    shape: tuple[int | str, ...]


class Signature(Frozen):
    """The inputs and outputs that the graph must have, neither more nor fewer."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Finding(Frozen):
    """One class of the model.

    ``operating_point`` is the least calibrated probability at which the finding counts as present,
    ``activation_scale`` the activation that every heatmap draws at full strength.
    """

    label: Label
    operating_point: float = Field(ge=0, le=1)
    operating_point_rule: str
    activation_scale: float = Field(gt=0)

    @property
    def code(self) -> Code:
        """The finding's SNOMED CT code."""
        return CODES[self.label]


class Metric(Frozen):
    """A measured figure with its 95 % interval, from a bootstrap over patients.

    ``label`` is the finding that it speaks of, ``source`` the part of the data; None speaks of all.
    """

    dataset: str
    name: str
    value: float
    lower: float
    upper: float
    images: int = Field(gt=0)
    label: Label | None = None
    source: str | None = None


class OutOfDistribution(Frozen):
    """The largest ``ood_score`` of a familiar image, and the method that gives the score."""

    limit: float = Field(allow_inf_nan=False)
    method: str


class Provenance(Frozen):
    """Where the model comes from, precisely enough to train it again.

    ``calibrated_at_revision`` is the commit of a calibration that is later than the training.
    """

    recipe: str
    dataset: str
    licence: str
    training_images: int = Field(gt=0)
    validation_images: int = Field(gt=0)
    data_digest: str
    git_revision: str
    calibrated_at_revision: str | None = None
    framework: str
    trained_at: datetime


class Parity(Frozen):
    """How far the exported graph was found from the Keras model, on real images."""

    images: int = Field(gt=0)
    max_probability_difference: float = Field(ge=0)
    tolerance: float = Field(gt=0)


class Variant(Frozen):
    """The same network in smaller numbers, in a file of its own, and how it was accepted.

    Of the validation images it decides the share ``agreement`` as model.onnx does, with both gates.
    ``speedup`` is in time of one CPU thread of the machine that made it, with ``runtime``.
    """

    precision: ReducedPrecision
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    images: int = Field(gt=0)
    auroc: float
    auroc_fp32: float
    agreement: float = Field(ge=0, le=1)
    speedup: float = Field(gt=0)
    runtime: str


class Reference(Frozen):
    """What a site's own images looked like to the bundle at its commissioning, to see drift from.

    The shares of images, 0 to 1, whose probability of each label is at most each of
    ``PROBABILITY_EDGES``, and whose ``ood_score``, as a share of its limit, each of ``OOD_EDGES``.
    All from patients whom the bundle had not met.
    """

    probability: dict[Label, tuple[float, ...]]
    ood_share: tuple[float, ...]

    @model_validator(mode="after")
    def _has_every_edge(self) -> Self:
        wrong = len(self.ood_share) != len(OOD_EDGES)
        if wrong or any(len(x) != len(PROBABILITY_EDGES) for x in self.probability.values()):
            raise ValueError("a reference has one share for each edge")
        return self


class Site(Frozen):
    """A hospital that the bundle was commissioned at, on its own labelled images.

    ``change`` says what was made of version ``base_version`` on which frozen ``features``.
    ``auroc`` and ``accuracy`` (of the share ``answered``, None where all are referred) are value,
    lower and upper end of a 95 % interval, from patients outside every choice. ``reference`` is
    None in bundles of before it.
    """

    name: str
    commissioned_at: datetime
    base_version: int
    features: str
    change: str
    verdict: Literal["fit to answer here", "refer only"]
    images: dict[Label, int]
    patients: int
    auroc: tuple[float, float, float]
    accuracy: tuple[float, float, float] | None
    answered: float
    labels_digest: str
    reference: Reference | None = None


class SourceEvidence(Frozen):
    """What images of one source, which no training has seen, show of the model.

    ``findings`` are those that it was shown to tell apart there; an image most like a source is
    answered with no other. ``calls`` counts the answers with each, and how many were right.
    ``auroc`` (macro) and ``accuracy`` (of the share ``answered``) are value, lower and upper end of
    a 95 % interval, None where there is none.
    """

    name: str
    findings: tuple[Label, ...]
    images: dict[Label, int]
    calls: dict[Label, tuple[int, int]]
    auroc: tuple[float, float, float] | None
    accuracy: tuple[float, float, float] | None
    answered: float


class BundleManifest(Frozen):
    """What the manifests of all kinds of bundle have. ``caveats`` are for who reads its figures."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    version: int = Field(ge=1)
    intended_use: Literal["Research only. Not for diagnosis."] = INTENDED_USE
    summary: str
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    signature: Signature
    preprocessing: PreprocessingSpec
    metrics: tuple[Metric, ...]
    provenance: Provenance
    parity: Parity
    caveats: tuple[str, ...] = ()

    @property
    def digests(self) -> Mapping[Precision, str]:
        """The digest of the graph's file in each precision that the bundle has."""
        return {"fp32": self.digest}

    def check_signature(self, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> None:
        """Compare what a loaded graph has with what the manifest says."""
        for kind, found, expected in (
            ("inputs", tuple(inputs), self.signature.inputs),
            ("outputs", tuple(outputs), self.signature.outputs),
        ):
            if set(found) != set(expected):
                raise SignatureMismatch(
                    f"{self.name} version {self.version}: the graph's {kind} are {_show(found)}, "
                    f"the manifest says {_show(expected)}. Export the model again."
                )


class ModelManifest(BundleManifest):
    """The whole of a classifier's manifest.json.

    ``findings`` are in output order. ``ages`` are those of the youngest and the oldest patient in
    the training data, in years. ``golden_digest`` is None in bundles of before golden.npz.
    ``variants`` are faster files beside model.onnx. ``series_rule`` says how the probabilities of a
    series follow from those of its slices. ``evidence`` has the sources in the order of
    ``source_distance``, and none where the bundle does not tell them apart.
    """

    modalities: tuple[str, ...] = Field(min_length=1)
    body_parts: tuple[str, ...] = Field(min_length=1)
    findings: tuple[Finding, ...] = Field(min_length=2)
    temperature: float = Field(gt=0)
    ages: tuple[int, int] | None = None
    quality: QualityLimits | None = None
    out_of_distribution: OutOfDistribution | None = None
    golden_digest: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    variants: tuple[Variant, ...] = ()
    series_rule: Literal["mean", "max"] = "mean"
    site: Site | None = None
    evidence: tuple[SourceEvidence, ...] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label stands twice in findings")
        if len(self.digests) != 1 + len(self.variants):
            raise ValueError("a precision stands twice in variants")
        outputs = {output.name for output in self.signature.outputs}
        if (OOD_SCORE in outputs) != (self.out_of_distribution is not None):
            raise ValueError(f"{OOD_SCORE} and out_of_distribution need each other")
        if (SOURCE_DISTANCE in outputs) != bool(self.evidence):
            raise ValueError(f"{SOURCE_DISTANCE} and evidence need each other")
        return self

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels, in output order."""
        return tuple(finding.label for finding in self.findings)

    @property
    def answers(self) -> bool:
        """Whether the model may answer where it is used; else it refers every image."""
        return self.site is None or self.site.verdict != "refer only"

    @property
    def sources(self) -> dict[str, tuple[Label, ...]]:
        """The findings that the model was shown to tell apart, by source, in output order."""
        return {source.name: source.findings for source in self.evidence}

    def nearest_source(self, distances: Sequence[float]) -> Evidence:
        """What stands behind an answer for an image, from its row of ``source_distance``."""
        number = int(np.argmin(distances))
        source = self.evidence[number]
        return Evidence(
            source=source.name,
            distance=float(distances[number]),
            findings=source.findings,
            calls=source.calls,
        )

    @property
    def operating_points(self) -> tuple[float, ...]:
        """The operating points, in output order."""
        return tuple(finding.operating_point for finding in self.findings)

    @property
    def digests(self) -> Mapping[Precision, str]:
        """The digest of the graph's file in each precision that the bundle has."""
        return {"fp32": self.digest, **{v.precision: v.digest for v in self.variants}}

    @property
    def reads_radiographs(self) -> bool:
        """Whether the model takes projection radiographs, and not slices of a CT alone."""
        return not RADIOGRAPHY.isdisjoint(self.modalities)


class SegmenterManifest(BundleManifest):
    """The whole of a segmenter's manifest.json.

    ``parity`` is of the probability of lung at each pixel. Without ``lung_field`` the quality check
    of that name is not made.
    """

    kind: Literal["segmenter"] = "segmenter"
    lung_field: LungFieldLimits | None = None


Manifest = TypeVar("Manifest", bound=BundleManifest)


def classifier_signature(
    spec: PreprocessingSpec,
    classes: int,
    map_size: tuple[int, int],
    *,
    ood_score: bool = False,
    sources: int = 0,
) -> Signature:
    """The signature of every classifier of this project, with the distance from each source."""
    return Signature(
        inputs=(_image(spec),),
        outputs=(
            _output("probabilities", classes),
            _output("logits", classes),
            _output("activation_map", *map_size, classes),
            *((_output(OOD_SCORE),) if ood_score else ()),
            *((_output(SOURCE_DISTANCE, sources),) if sources else ()),
        ),
    )


def segmenter_signature(spec: PreprocessingSpec) -> Signature:
    """The signature of every segmenter that this project exports."""
    return Signature(inputs=(_image(spec),), outputs=(_output(LUNG_MASK, *spec.size, 1),))


def _image(spec: PreprocessingSpec) -> TensorSpec:
    return TensorSpec(name="image", dtype="uint8", shape=("batch", *spec.size, 1))


def _output(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=("batch", *shape))


def sha256_digest(data: bytes) -> str:
    """The digest of a file's bytes, as the manifest writes it: ``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def read_manifest(bundle: Path) -> ModelManifest:
    """Read a classifier's manifest.

    Raises:
        InvalidManifest: The file is missing or unreadable, no JSON, does not hold together, or is
            that of another name or version than the folder's.
    """
    return _read_manifest(ModelManifest, bundle)


def _read_manifest(kind: type[Manifest], bundle: Path) -> Manifest:
    content = _read(bundle, MANIFEST_FILE)
    try:
        manifest = kind.model_validate_json(content)
    except ValidationError as error:
        raise InvalidManifest(f"{_name(bundle)}/{MANIFEST_FILE}: {error}") from error
    if f"{manifest.name}/{manifest.version}" != _name(bundle):
        raise InvalidManifest(
            f"{_name(bundle)} holds {manifest.name} version {manifest.version}. Rename the folder."
        )
    return manifest


def is_segmenter(bundle: Path) -> bool:
    """Whether a bundle's manifest is that of a segmenter; what cannot be read is none."""
    try:
        content = json.loads((bundle / MANIFEST_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("kind") == "segmenter"


def read_segmenter(bundle: Path) -> tuple[SegmenterManifest, bytes]:
    """Read a segmenter's manifest and its model.onnx, and check that they belong together.

    Raises:
        InvalidManifest, DigestMismatch: As ``read_manifest`` and ``read_verified_model``.
    """
    manifest = _read_manifest(SegmenterManifest, bundle)
    return manifest, read_verified_model(bundle, manifest)


def read_verified_model(
    bundle: Path, manifest: BundleManifest, precision: Precision = "fp32"
) -> bytes:
    """Read the graph's file in a precision of ``manifest.digests``, and check its digest.

    Raises:
        InvalidManifest: There is no such file, or it cannot be read.
        DigestMismatch: Its SHA-256 is not the manifest's.
    """
    return read_verified(bundle, PRECISION_FILES[precision], manifest.digests[precision])


def read_verified(bundle: Path, file: str, digest: str) -> bytes:
    """Read a file of a bundle, and check its digest; it raises as ``read_verified_model``."""
    content = _read(bundle, file)
    if (found := sha256_digest(content)) != digest:
        raise DigestMismatch(
            f"{_name(bundle)}/{file} has {found}, the manifest says {digest}. "
            "The file was changed or only partly copied: copy the bundle again."
        )
    return content


def _read(bundle: Path, file: str) -> bytes:
    try:
        return (bundle / file).read_bytes()
    except FileNotFoundError as error:
        raise InvalidManifest(f"{_name(bundle)} has no {file}.") from error
    except OSError as error:
        raise InvalidManifest(f"{_name(bundle)}/{file} cannot be read.") from error


def _name(bundle: Path) -> str:
    return f"{bundle.parent.name}/{bundle.name}"


def _show(tensors: Iterable[TensorSpec]) -> str:
    return ", ".join(f"{t.name} {t.dtype} {list(t.shape)}" for t in tensors) or "none"
