"""A finished workdir becomes a bundle; a bundle gets what newer exports have."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from contract.golden import read_golden
from contract.manifest import (
    GOLDEN_FILE,
    MODEL_FILE,
    OOD_SCORE,
    PRECISION_FILES,
    ModelManifest,
    read_verified_model,
    sha256_digest,
)
from contract.quality import Templates, measure_pixels
from export.convert import convert, measure_parity, promised_signature
from export.errors import ExportError, ParityError
from export.ood_graph import TOLERANCE as SCORE_TOLERANCE
from export.ood_graph import fold_ood
from export.quality_graph import OUTPUT, QUALITY, add_quality
from export.quality_graph import TOLERANCES as QUALITY_TOLERANCES
from export.session import open_session, run_in_batches
from export.store import (
    draw_phantoms,
    golden_answers,
    next_version,
    replace_bundle,
    write_bundle,
)
from export.verify import open_bundle, read_images
from training.source import read_training_data
from training.workdir import TrainedModel, load_trained

PARITY_IMAGES = 64
# What a PACS calls each kind of image; OT is what many secondary captures say.
_MODALITIES = {"radiograph": ("CR", "DX", "RG", "OT"), "ct-slice": ("CT",)}
_KINDS = {"radiograph": "a frontal chest radiograph", "ct-slice": "one slice of a chest CT"}
_CHEST = ("CHEST", "THORAX", "LUNG")


def export_bundle(workdir: Path, data: Path, models: Path, version: int | None = None) -> Path:
    """Convert a trained model, prove it on real images, and write the bundle.

    Args:
        workdir: Where ``pneumo-train fit`` and ``evaluate`` ran.
        data: The data set that it was trained on; its validation images prove the parity.
        models: The model repository to write into.
        version: The version to write; the next free one where None.

    Returns:
        The new bundle's folder.

    Raises:
        ExportError: The model was not evaluated yet, does not convert, answers otherwise in ONNX
            Runtime than in Keras, or the version exists. Nothing is written then.
        TrainingError: The workdir is not complete, or the data are not those of the training.
    """
    trained = load_trained(workdir)
    if trained.evaluation is None:
        raise ExportError("The model was not evaluated yet: run `pneumo-train evaluate` first.")
    serving = trained.serving_model()
    spec, name = trained.config.preprocessing, trained.config.name
    signature = promised_signature(trained, serving)
    position = trained.calibration.quality.position if trained.calibration.quality else None
    model = convert(serving, signature, position).SerializeToString()
    files = validation_files(workdir, data, trained, PARITY_IMAGES)
    session = open_session(model)
    parity = measure_parity(serving, session, read_images(files, spec))
    golden = golden_answers({"fp32": session}, draw_phantoms(*spec.size))
    manifest = ModelManifest(
        name=name,
        version=version or next_version(models, name),
        summary=_summary(trained),
        digest=sha256_digest(model),
        signature=signature,
        preprocessing=spec,
        modalities=_MODALITIES[trained.config.data.kind],
        body_parts=_CHEST,
        findings=trained.calibration.findings,
        temperature=trained.calibration.temperature,
        metrics=trained.evaluation.metrics,
        provenance=trained.provenance,
        parity=parity,
        quality=trained.calibration.quality,
        out_of_distribution=trained.calibration.out_of_distribution,
        caveats=trained.config.caveats,
        golden_digest=sha256_digest(golden),
    )
    return write_bundle(models, manifest, model, (workdir / "figures").glob("*.png"), golden)


def validation_files(workdir: Path, data: Path, trained: TrainedModel, count: int) -> list[Path]:
    """Some validation images of a workdir, spread evenly over its split table.

    Raises:
        DataError: The data folder has another layout.
        WorkdirMismatch: It does not hold the images of the training.
    """
    dataset, _ = read_training_data(trained, data)
    with (workdir / "split.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == "validation"]
    return [dataset.root / row["path"] for row in rows[:: max(1, len(rows) // count)][:count]]


def refresh_bundle(bundle: Path) -> Iterator[str]:
    """Give the graphs of a bundle what newer exports have, and prove that they answer alike.

    That is the quality measures as an output, the faster out-of-distribution score, and golden
    answers. Digests, signature and card follow; the version stays.

    Args:
        bundle: ``models/<name>/<version>``.

    Yields:
        What was found of each file.

    Raises:
        ManifestError: The manifest, a digest or the signature is wrong.
        ExportError: A graph answers otherwise than before. Nothing is written then.
    """
    manifest, _ = open_bundle(bundle)
    golden = read_golden(bundle, manifest)
    images = golden.images if golden else draw_phantoms(*manifest.preprocessing.size)
    position = manifest.quality.position if manifest.quality else None
    files, sessions = {}, {}
    for precision in manifest.digests:
        old = read_verified_model(bundle, manifest, precision)
        proto = add_quality(fold_ood(onnx.load_from_string(old)), position)
        new = bytes(proto.SerializeToString())
        files[PRECISION_FILES[precision]] = new
        sessions[str(precision)] = open_session(new)
        yield f"{PRECISION_FILES[precision]}: {_check_alike(old, new, images, position)}"
    answers = golden_answers(sessions, images)
    digests = {file: sha256_digest(content) for file, content in files.items()}
    outputs = [output for output in manifest.signature.outputs if output.name != QUALITY]
    changes: dict[str, object] = {
        "digest": digests[MODEL_FILE],
        "signature": manifest.signature.model_copy(update={"outputs": (*outputs, OUTPUT)}),
        "golden_digest": sha256_digest(answers),
    }
    if manifest.variants:
        changes["variants"] = tuple(
            variant.model_copy(update={"digest": digests[PRECISION_FILES[variant.precision]]})
            for variant in manifest.variants
        )
    replace_bundle(bundle, manifest.model_copy(update=changes), {**files, GOLDEN_FILE: answers})


def _check_alike(
    old: bytes, new: bytes, images: NDArray[np.uint8], position: Templates | None
) -> str:
    """Compare two graphs on images, on negatives turned round, and on black; say what differs."""
    several = np.concatenate([images, 255 - images[:, ::-1], np.zeros_like(images[:1])])
    before, after = (run_in_batches(open_session(model), several) for model in (old, new))
    measured = [measure_pixels(image[..., 0], position) for image in several]
    for name, expected in before.items():
        if name not in (QUALITY, OOD_SCORE) and not np.array_equal(after[name], expected):
            raise ParityError(f"{name} would differ. Nothing was written.")
    before[QUALITY] = np.stack(measured)
    allowed = {QUALITY: np.broadcast_to(QUALITY_TOLERANCES, after[QUALITY].shape)}
    if OOD_SCORE in before:
        allowed[OOD_SCORE] = SCORE_TOLERANCE * np.maximum(before[OOD_SCORE], 1)
    found = []
    for name, limit in allowed.items():
        share = float((np.abs(after[name] - before[name]) / limit).max())
        # Not-a-number compares false with everything, so the accepted case is the one spelt out.
        if not share <= 1:
            raise ParityError(f"{name} would differ by more than is allowed. Nothing was written.")
        found.append(f"{name} at {share:.0%} of what is allowed")
    return ", ".join(found)


def _summary(trained: TrainedModel) -> str:
    config = trained.config
    *first, last = (finding.label for finding in trained.calibration.findings)
    return (
        f"Tells {', '.join(first)} and {last} apart on {_KINDS[config.data.kind]}: a "
        f"{config.model.backbone} network, trained on {trained.provenance.dataset}."
    )
