"""A finished workdir becomes a bundle."""

import csv
from pathlib import Path

from contract.manifest import ModelManifest, sha256_digest
from export.convert import convert, promised_signature
from export.errors import ExportError
from export.golden import golden_answers
from export.inference import open_session
from export.package import next_version, write_bundle
from export.parity import measure_parity
from export.verify import read_images
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
    spec = trained.config.preprocessing
    signature = promised_signature(trained, serving)
    model = convert(serving, signature).SerializeToString()
    files = validation_files(workdir, data, trained, PARITY_IMAGES)
    session = open_session(model)
    parity = measure_parity(serving, session, read_images(files, spec))
    golden = golden_answers({"fp32": session}, spec)
    name = trained.config.name
    figures = sorted((workdir / "figures").glob("*.png"))
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
    return write_bundle(models, manifest, model, figures, golden)


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


def _summary(trained: TrainedModel) -> str:
    config = trained.config
    *first, last = (finding.label for finding in trained.calibration.findings)
    return (
        f"Tells {', '.join(first)} and {last} apart on {_KINDS[config.data.kind]}: a "
        f"{config.model.backbone} network, trained on {trained.provenance.dataset}."
    )
