"""What the checks of a report look at, gathered from a workdir and its data; costly parts wait."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from contract.findings import Label
from training.input_pipeline import ImageBatches
from training.models import feature_model
from training.ood.unfamiliar import made_up, read_unfamiliar
from training.ood_report import Detection, Known, measure_unfamiliar
from training.predictions import Predictions
from training.progress import progress_bar
from training.report.lung_masks import Segment, find_lungs
from training.report.material import Images, Material
from training.severity import SeverityCorrelation, correlate_severity
from training.source import Source, load_source, read_training_data
from training.workdir import TrainedModel, Workdir

# Whose map is held against the experts' scores, the first that the model has.
SCORED: tuple[Label, ...] = ("covid-19", "pneumonia")


def gather_material(
    trained: TrainedModel,
    source: Source,
    predictions: Predictions,
    *,
    dataset: str,
    split: str,
    work: Workdir,
    data: Path,
    console: Console,
    segment: Segment | None,
    unfamiliar: Path | None,
) -> Material:
    """Gather the material of one evaluation.

    Args:
        trained: The model.
        source: The evaluated images.
        predictions: What the model says of them.
        dataset: What the figures are said to be of.
        split: The evaluated split. On the validation split itself nothing can be promised.
        work: The workdir, whose cache has the images of the training.
        data: The data set's folder.
        console: Where progress is shown.
        segment: Finds the lungs in images without a mask.
        unfamiliar: A folder with a folder for each kind of unfamiliar images.
    """
    table, config, calibration = source.table, trained.config, trained.calibration
    images = source.images[table.index.to_numpy()]
    known = cache(lambda: read_known(trained, data, work, console))
    ask = _asking(trained.serving_model())

    def validation() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rows = known().validation
        return ask(np.asarray(known().images[rows]))["probabilities"], known().classes[rows]

    return Material(
        images=images,
        predictions=predictions,
        groups=table["group"].to_numpy(np.str_),
        paths=table["path"].to_numpy(np.str_),
        findings=calibration.findings,
        positive=config.data.positive,
        dataset=dataset,
        seed=config.seed,
        predict=ask,
        features=_asking(feature_model(trained.model)),
        lungs=cache(lambda: find_lungs(images, list(table["mask"]), source.dataset.root, segment)),
        spec=config.preprocessing,
        quality=calibration.quality,
        familiar=calibration.out_of_distribution,
        quality_plot=work.root / "figures" / f"{split}-quality.png",
        network=trained.model,
        validation=None if split == "validation" else validation,
        detections=_detections(trained, known, images, unfamiliar),
        severity=_severity(trained, data, segment),
    )


def read_known(trained: TrainedModel, data: Path, work: Workdir, console: Console) -> Known:
    """Read the images that a network was made with.

    Raises:
        DataError: The data set is not laid out as expected.
        WorkdirMismatch: These are other images than those of the training.
    """
    with progress_bar(console) as bar:
        dataset, digest = read_training_data(trained, data)
        source = load_source(dataset, digest, trained.config, work, "development", bar)
    used = work.read_split(source.table)
    rows = {
        split: used.index[used["split"] == split].to_numpy() for split in ("train", "validation")
    }
    return Known(source.images, source.classes, rows["train"], rows["validation"])


def _detections(
    trained: TrainedModel, known: Callable[[], Known], images: Images, folder: Path | None
) -> Callable[[], tuple[Detection, ...]] | None:
    if folder is None or trained.scorer is None:
        return None
    scorer, spec = trained.scorer, trained.config.preprocessing

    def compare() -> tuple[Detection, ...]:
        strange = read_unfamiliar(folder, spec) | made_up(spec)
        familiar = {"evaluated images": np.asarray(images)}
        return measure_unfamiliar(trained.model, scorer, known(), trained.config, strange, familiar)

    return compare


def _severity(
    trained: TrainedModel, data: Path, segment: Segment | None
) -> Callable[[], tuple[Label, tuple[SeverityCorrelation, ...]]] | None:
    labels = [label for label in SCORED if label in trained.config.data.classes]
    if segment is None or not labels or trained.config.data.kind != "radiograph":
        return None
    return lambda: (labels[0], correlate_severity(trained, data, labels[0], segment))


def _asking(model: keras.Model) -> Callable[[Images], Any]:
    return lambda images: model.predict(ImageBatches(images, np.arange(len(images))), verbose=0)
