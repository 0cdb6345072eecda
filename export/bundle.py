"""A finished workdir becomes a bundle; a bundle gets what newer exports have."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from contract.manifest import (
    GOLDEN_FILE,
    LUNG_MASK,
    PRECISION_FILES,
    QUALITY,
    ModelManifest,
    SegmenterManifest,
    read_verified_model,
    segmenter_signature,
    sha256_digest,
)
from contract.quality import Templates, measure_pixels
from export.convert import SCORE_TOLERANCE, TOLERANCE, convert, measure_parity, promised_signature
from export.errors import ExportError, ParityError
from export.graph import with_half_weights, with_one_gray
from export.quality_graph import OUTPUT, TOLERANCES, add_quality
from export.session import open_session, run_in_batches
from export.store import (
    draw_phantoms,
    golden_answers,
    golden_images,
    next_version,
    replace_bundle,
    write_bundle,
)
from export.verify import open_bundle, read_images
from training.lungs import list_again, load_segmenter, with_mask_output
from training.source import read_training_data
from training.workdir import TrainedModel, Workdir, load_trained

PARITY_IMAGES = 64
# Of a graph in bytes; the weights of a larger one are stored as 16-bit floats.
LARGEST = 10_000_000
# What a PACS calls each kind of image; OT is what many secondary captures say.
_MODALITIES = {"radiograph": ("CR", "DX", "RG", "OT"), "ct-slice": ("CT",)}
_KINDS = {"radiograph": "a frontal chest radiograph", "ct-slice": "one slice of a chest CT"}
_CHEST = ("CHEST", "THORAX", "LUNG")


def export_bundle(workdir: Path, data: Path, models: Path, version: int | None = None) -> Path:
    """Convert a trained model, prove it on its validation images, and write the bundle.

    Args:
        workdir: Where ``pneumo-train fit`` and ``evaluate`` ran.
        data: The data set that it was trained on.
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
    proto = convert(serving, signature, position)
    halved = proto.ByteSize() > LARGEST
    model = (with_half_weights(proto) if halved else proto).SerializeToString()
    files = spread(used_images(trained, workdir, data), "validation", PARITY_IMAGES)
    session = open_session(model)
    parity = measure_parity(serving, session, read_images(files, spec), halved=halved)
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
        ages=trained.config.ages,
        metrics=trained.evaluation.metrics,
        provenance=trained.provenance,
        parity=parity,
        quality=trained.calibration.quality,
        out_of_distribution=trained.calibration.out_of_distribution,
        caveats=trained.config.caveats,
        evidence=trained.evaluation.evidence,
        golden_digest=sha256_digest(golden),
    )
    return write_bundle(models, manifest, model, (workdir / "figures").glob("*.png"), golden)


def export_segmenter(workdir: Path, data: Path, models: Path, version: int | None = None) -> Path:
    """Convert a trained segmenter, prove it on the held-out images, and write the bundle.

    Arguments, result and errors are those of ``export_bundle``.
    """
    trained = load_segmenter(workdir)
    if trained.evaluation is None:
        raise ExportError("The segmenter was not evaluated yet: measure its Dice first.")
    spec, name = trained.recipe.preprocessing, trained.recipe.name
    dataset = list_again(trained, data)
    used = Workdir(workdir).read_split(dataset.table)
    held_out = [dataset.root / path for path in used["path"][used["split"] == "test"]]
    images = read_images(held_out, spec)
    serving = with_mask_output(trained.model)
    signature = segmenter_signature(spec)
    model = convert(serving, signature).SerializeToString()
    manifest = SegmenterManifest(
        name=name,
        version=version or next_version(models, name),
        summary="Marks the lungs on a frontal chest radiograph, with what lies behind the heart.",
        digest=sha256_digest(model),
        signature=signature,
        preprocessing=spec,
        metrics=trained.evaluation.metrics,
        provenance=trained.provenance,
        parity=measure_parity(serving, open_session(model), images, LUNG_MASK),
        lung_field=trained.lung_field,
        caveats=trained.recipe.caveats,
    )
    return write_bundle(models, manifest, model)


def used_images(trained: TrainedModel, workdir: Path, data: Path) -> pd.DataFrame:
    """The images of a training, with their labels and splits; ``file`` is the whole path.

    Raises:
        DataError: The data folder has another layout.
        WorkdirMismatch: It does not hold the images of the training.
    """
    dataset, _ = read_training_data(trained, data)
    used = Workdir(workdir).read_split(dataset.table)
    return used.assign(file=[dataset.root / path for path in used["path"]])


def spread(used: pd.DataFrame, split: str, count: int) -> list[Path]:
    """Some files of a split, evenly over the table, where classes and sources follow another."""
    files: list[Path] = used["file"][used["split"] == split].tolist()
    return files[:: max(1, len(files) // count)][:count]


def refresh_bundle(bundle: Path) -> Iterator[str]:
    """Write the next version of a bundle, with what an export of today has, where that differs.

    That is a first convolution that reads one gray, the quality measures, and golden answers.
    What was measured stays.

    Yields:
        What was found of each file, then which version was written.

    Raises:
        ManifestError: The manifest, a digest or the signature is wrong.
        ExportError: There is a later version, or a graph answers otherwise than before. Nothing is
            written then.
    """
    manifest, _ = open_bundle(bundle)
    version = next_version(bundle.parent.parent, manifest.name)
    if version != manifest.version + 1:
        raise ExportError(f"{manifest.name} has a later version, {version - 1}: refresh that one.")
    images = golden_images(bundle, manifest)
    position = manifest.quality.position if manifest.quality else None
    files, sessions, digests, apart = {}, {}, {}, {}
    for precision in manifest.digests:
        file, old = PRECISION_FILES[precision], read_verified_model(bundle, manifest, precision)
        proto = onnx.load_from_string(old)
        # Older exports left the converter's temporary folder there.
        proto.graph.doc_string = ""
        new = bytes(add_quality(with_one_gray(proto), position).SerializeToString())
        sessions[str(precision)] = open_session(new)
        share, apart[precision] = _check_alike(
            open_session(old), sessions[str(precision)], images, position
        )
        yield f"{file}: {QUALITY} at {share:.0%} of the difference that is allowed"
        files[file], digests[precision] = new, sha256_digest(new)
    if digests == manifest.digests and manifest.golden_digest:
        yield f"version {manifest.version} is as an export of today writes it"
        return
    answers = golden_answers(sessions, images)
    outputs = [output for output in manifest.signature.outputs if output.name != QUALITY]
    difference = manifest.parity.max_probability_difference + apart["fp32"]
    changes: dict[str, object] = {
        "version": version,
        "digest": digests["fp32"],
        "signature": manifest.signature.model_copy(update={"outputs": (*outputs, OUTPUT)}),
        "golden_digest": sha256_digest(answers),
        "parity": manifest.parity.model_copy(update={"max_probability_difference": difference}),
    }
    if manifest.variants:
        changes["variants"] = tuple(
            variant.model_copy(update={"digest": digests[variant.precision]})
            for variant in manifest.variants
        )
    replace_bundle(bundle, manifest.model_copy(update=changes), {**files, GOLDEN_FILE: answers})
    yield f"version {version} is written; version {manifest.version} can go when nobody asks for it"


def _check_alike(
    old: InferenceSession,
    new: InferenceSession,
    images: NDArray[np.uint8],
    position: Templates | None,
) -> tuple[float, float]:
    """Compare on images, on negatives turned round, and on black.

    The largest difference of a quality measure, as a share of what may be; and of a probability.
    """
    several = np.concatenate([images, 255 - images[:, ::-1], np.zeros_like(images[:1])])
    before, after = (run_in_batches(session, several) for session in (old, new))
    apart = {name: np.abs(after[name] - before[name]) for name in before if name != QUALITY}
    for name, differences in apart.items():
        allowed = SCORE_TOLERANCE * np.maximum(np.abs(before[name]), 1)
        if name == "probabilities":
            allowed = np.full_like(differences, TOLERANCE)
        # Not-a-number compares false with everything, so the accepted case is the one spelt out.
        if not (differences <= allowed).all():
            raise ParityError(f"{name} would differ. Nothing was written.")
    measured = np.stack([measure_pixels(image[..., 0], position) for image in several])
    share = float((np.abs(after[QUALITY] - measured) / TOLERANCES).max())
    if not share <= 1:
        raise ParityError(f"{QUALITY} would differ by more than is allowed. Nothing was written.")
    return share, float(apart["probabilities"].max())


def _summary(trained: TrainedModel) -> str:
    config = trained.config
    *first, last = (finding.label for finding in trained.calibration.findings)
    return (
        f"Tells {', '.join(first)} and {last} apart on {_KINDS[config.data.kind]}: the "
        f"network {config.model.backbone}, trained on {trained.provenance.dataset}."
    )
