"""A finished training of the lung segmenter becomes a bundle."""

from pathlib import Path

import keras
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.manifest import CARD_FILE, MANIFEST_FILE, MODEL_FILE, Parity, sha256_digest
from contract.segmenter import LUNG_MASK, SegmenterManifest, segmenter_signature
from export.convert import convert
from export.errors import ExportError, ParityError
from export.folder import whole_folder
from export.inference import open_session, run_in_batches
from export.package import next_version
from export.parity import TOLERANCE
from export.segmenter_card import segmenter_card
from export.triton import write_triton_config
from export.verify import read_images
from training.errors import WorkdirMismatch
from training.lungs import (
    TrainedSegmenter,
    list_lung_images,
    load_segmenter,
    mask_digest,
    with_mask_output,
)
from training.workdir import Workdir

SUMMARY = "Marks the lungs on a frontal chest radiograph, with what lies behind the heart."


def export_segmenter(workdir: Path, data: Path, models: Path, version: int | None = None) -> Path:
    """Convert a trained segmenter, prove it on the held-out images, and write the bundle.

    Args:
        workdir: Where ``fit_lungs`` and ``evaluate_lungs`` ran.
        data: The data set that it was trained on.
        models: The model repository to write into.
        version: The version to write; the next free one where None.

    Returns:
        The new bundle's folder.

    Raises:
        ExportError: The segmenter was not evaluated yet, does not convert, answers otherwise in
            ONNX Runtime than in Keras, or the version exists. Nothing is written then.
        TrainingError: The workdir is not complete, or the data are not those of the training.
    """
    work = Workdir(workdir)
    trained = load_segmenter(workdir)
    if trained.evaluation is None:
        raise ExportError("The segmenter was not evaluated yet: measure its Dice first.")
    spec, name = trained.recipe.preprocessing, trained.recipe.name
    images = read_images(held_out_files(work, data, trained), spec)
    serving = with_mask_output(trained.model)
    signature = segmenter_signature(spec)
    model = convert(serving, signature).SerializeToString()
    manifest = SegmenterManifest(
        name=name,
        version=version or next_version(models, name),
        summary=SUMMARY,
        digest=sha256_digest(model),
        signature=signature,
        preprocessing=spec,
        metrics=trained.evaluation.metrics,
        provenance=trained.provenance,
        parity=mask_parity(serving, open_session(model), images),
        lung_field=trained.lung_field,
        caveats=trained.recipe.caveats,
    )
    return write_segmenter(models, manifest, model)


def write_segmenter(models: Path, manifest: SegmenterManifest, model: bytes) -> Path:
    """Write a segmenter's bundle, whole or not at all.

    Args:
        models: The model repository's root.
        manifest: What to write; its name and version choose the folder.
        model: The bytes of model.onnx; their digest is the manifest's.

    Returns:
        The new bundle's folder.

    Raises:
        BundleExists: That version is there already.
    """
    bundle = models / manifest.name / str(manifest.version)
    with whole_folder(bundle) as draft:
        (draft / MODEL_FILE).write_bytes(model)
        (draft / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
        (draft / CARD_FILE).write_text(segmenter_card(manifest))
    write_triton_config(bundle, manifest.signature)
    return bundle


def mask_parity(
    model: keras.Model, session: onnxruntime.InferenceSession, images: NDArray[np.uint8]
) -> Parity:
    """Compare Keras and ONNX Runtime on the same images.

    Args:
        model: The Keras model with the mask output.
        session: A session on the graph converted from it.
        images: Real images, uint8, shape (n, height, width, 1).

    Raises:
        ParityError: A pixel's probability differs by more than 1e-5.
    """
    found = run_in_batches(session, images)[LUNG_MASK]
    expected = model.predict(images, verbose=0)[LUNG_MASK]
    difference = float(np.abs(found - expected).max())
    # Not-a-number compares false with everything, so the accepted case is the one spelt out.
    if not difference <= TOLERANCE:
        raise ParityError(
            f"Over {len(images)} images a pixel differs by {difference:.2e} between Keras and ONNX "
            f"Runtime; {TOLERANCE:.0e} is allowed. Nothing was written."
        )
    return Parity(images=len(images), max_probability_difference=difference, tolerance=TOLERANCE)


def held_out_files(work: Workdir, data: Path, trained: TrainedSegmenter) -> list[Path]:
    """The test images of a workdir.

    Raises:
        DataError: The data folder has another layout.
        WorkdirMismatch: It does not hold the images of the training.
    """
    dataset = list_lung_images(data)
    if mask_digest(dataset) != trained.provenance.data_digest:
        raise WorkdirMismatch("These are not the images of the training: their digest differs.")
    used = work.read_split(dataset.table)
    return [dataset.root / path for path in used["path"][used["split"] == "test"]]
