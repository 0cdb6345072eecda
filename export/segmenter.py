"""A finished training of the lung segmenter becomes a bundle."""

from pathlib import Path

from contract.manifest import LUNG_MASK, SegmenterManifest, segmenter_signature, sha256_digest
from export.convert import convert, measure_parity
from export.errors import ExportError
from export.session import open_session
from export.store import next_version, write_bundle
from export.verify import read_images
from training.lungs import TrainedSegmenter, list_again, load_segmenter, with_mask_output
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
        parity=measure_parity(serving, open_session(model), images, LUNG_MASK),
        lung_field=trained.lung_field,
        caveats=trained.recipe.caveats,
    )
    return write_bundle(models, manifest, model)


def held_out_files(work: Workdir, data: Path, trained: TrainedSegmenter) -> list[Path]:
    """The test images of a workdir.

    Raises:
        DataError: The data folder has another layout.
        WorkdirMismatch: It does not hold the images of the training.
    """
    dataset = list_again(trained, data)
    used = work.read_split(dataset.table)
    return [dataset.root / path for path in used["path"][used["split"] == "test"]]
