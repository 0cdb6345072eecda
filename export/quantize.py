"""Faster files beside a bundle's model.onnx: made from it, compared with it, only then added."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from contract.golden import Golden, golden_bytes, read_golden
from contract.manifest import (
    CARD_FILE,
    FIGURES,
    GOLDEN_FILE,
    PRECISION_FILES,
    ModelManifest,
    ReducedPrecision,
    Variant,
    read_verified_model,
    sha256_digest,
)
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.quality import Quality, QualityLimits, assess
from contract.radiograph import decode
from export.acceptance import ValidationImages, check, compare, measure_speedup
from export.errors import VariantRefused
from export.fp16 import to_fp16
from export.golden import draw_phantoms, open_sessions
from export.graph import tensor_specs
from export.inference import open_session, run_in_batches
from export.int8 import to_int8
from export.model_card import model_card
from export.package import amend_bundle
from export.verify import open_bundle, read_images
from training.source import read_training_data
from training.workdir import load_trained

CALIBRATION_IMAGES = 256

LabelledFiles = Sequence[tuple[Path, int]]
"""Files, each with the output that is right for it."""


def quantize_bundle(
    bundle: Path, workdir: Path, data: Path, precision: ReducedPrecision
) -> Variant:
    """Make a faster file of a bundle's graph, and add it where it answers alike.

    What the bundle has is not touched but for the list in its manifest, its card, and the golden
    answers, which gain those of the new file.

    Args:
        bundle: ``models/<name>/<version>``.
        workdir: Of the training that the bundle comes from.
        data: The data set of that training: some of its training images say how large activations
            become, all of its validation images compare the two files.
        precision: ``int8`` or ``fp16``.

    Returns:
        What was found and written down.

    Raises:
        ManifestError: The manifest, a digest or the signature is wrong.
        ImageError: An image cannot be read any more.
        ExportError: The new file does not answer as model.onnx does, the bundle has one of this
            precision, or the workdir is of another training. Nothing is written then.
        TrainingError: The workdir is not complete, or the data are not those of the training.
    """
    manifest, _ = open_bundle(bundle)
    if precision in manifest.digests:
        raise VariantRefused(
            f"{bundle.parent.name}/{bundle.name} has a file in {precision}, and what is in a "
            "bundle never changes: export the model again as the next version."
        )
    splits = _read_splits(workdir, data, manifest)
    model = read_verified_model(bundle, manifest)
    reduced = _converted(model, precision, splits, manifest.preprocessing)
    graph = onnx.load_from_string(reduced).graph
    manifest.check_signature(tensor_specs(graph.input), tensor_specs(graph.output))
    old, new = open_session(model, threads=1), open_session(reduced, threads=1)
    validation = _validation_images(splits["validation"], manifest)
    found = compare(manifest, old, new, validation)
    check(found)
    variant = Variant(
        precision=precision,
        digest=sha256_digest(reduced),
        images=found.images,
        auroc=found.auroc,
        auroc_fp32=found.auroc_fp32,
        agreement=found.agreement,
        speedup=measure_speedup(old, new, validation.images[:1]),
        runtime=f"onnxruntime {onnxruntime.__version__}",
    )
    golden = _golden(bundle, manifest, {precision: new})
    _add(bundle, manifest, variant, reduced, golden)
    return variant


def summary(variant: Variant) -> str:
    """One line on what was added; that it is not faster here is said, and refuses nothing."""
    slower = "" if variant.speedup > 1 else ", so it gains nothing here"
    return (
        f"{PRECISION_FILES[variant.precision]}: AUROC {variant.auroc:.4f}, in fp32 "
        f"{variant.auroc_fp32:.4f}; {variant.agreement:.2%} of {variant.images} validation images "
        "decided alike; "
        f"{variant.speedup:.2f} times as fast as fp32 on one CPU thread of this machine{slower}."
    )


def _read_splits(workdir: Path, data: Path, manifest: ModelManifest) -> Mapping[str, LabelledFiles]:
    """The files of the training and the validation split, with their labels."""
    trained = load_trained(workdir)
    if trained.provenance != manifest.provenance:
        raise VariantRefused(
            f"{workdir} is of another training than {manifest.name} version {manifest.version}."
        )
    dataset, _ = read_training_data(trained, data)
    splits: dict[str, list[tuple[Path, int]]] = {"train": [], "validation": []}
    outputs = {str(label): number for number, label in enumerate(manifest.labels)}
    with (workdir / "split.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            if row["split"] in splits:
                splits[row["split"]].append((dataset.root / row["path"], outputs[row["label"]]))
    return splits


def _converted(
    model: bytes,
    precision: ReducedPrecision,
    splits: Mapping[str, LabelledFiles],
    spec: PreprocessingSpec,
) -> bytes:
    if precision == "fp16":
        return to_fp16(model)
    files = [file for file, _ in splits["train"]]
    # Spread evenly over the table, where the classes and the sources follow one another.
    chosen = files[:: max(1, len(files) // CALIBRATION_IMAGES)][:CALIBRATION_IMAGES]
    return to_int8(model, read_images(chosen, spec))


def _validation_images(files: LabelledFiles, manifest: ModelManifest) -> ValidationImages:
    spec, limits = manifest.preprocessing, manifest.quality
    images, qualities = zip(*(_read(file, spec, limits) for file, _ in files), strict=True)
    classes = [output for _, output in files]
    return ValidationImages(np.stack(images), np.array(classes, np.int64), qualities)


def _read(
    file: Path, spec: PreprocessingSpec, limits: QualityLimits | None
) -> tuple[NDArray[np.uint8], Quality | None]:
    radiograph = decode(file.read_bytes(), at_least=spec.size)
    image = preprocess(radiograph, spec)
    quality = assess(image, radiograph.rows, radiograph.columns, limits) if limits else None
    return image, quality


def _golden(
    bundle: Path, manifest: ModelManifest, new: Mapping[str, onnxruntime.InferenceSession]
) -> bytes:
    """The golden answers with those of the new session; all of them where there were none."""
    golden = read_golden(bundle, manifest)
    if golden is None:
        golden = Golden(draw_phantoms(*manifest.preprocessing.size), {})
        new = {**open_sessions(bundle, manifest), **new}
    answers = {
        name: run_in_batches(session, golden.images)["probabilities"]
        for name, session in new.items()
    }
    return golden_bytes(replace(golden, probabilities={**golden.probabilities, **answers}))


def _add(
    bundle: Path, manifest: ModelManifest, variant: Variant, model: bytes, golden: bytes
) -> None:
    described = manifest.model_copy(
        update={
            "variants": (*manifest.variants, variant),
            "golden_digest": sha256_digest(golden),
        }
    )
    figures = [f"{FIGURES}/{file.name}" for file in sorted((bundle / FIGURES).glob("*.png"))]
    files = {
        PRECISION_FILES[variant.precision]: model,
        GOLDEN_FILE: golden,
        CARD_FILE: model_card(described, figures).encode(),
    }
    amend_bundle(bundle, manifest, described, files)
