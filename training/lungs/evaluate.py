"""Measure a trained segmenter on the patients that were held out. Nothing is chosen here."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.errors import WorkdirMismatch
from training.lungs.dataset import (
    LungImages,
    list_lung_images,
    load_lung_images,
    mask_digest,
    read_mask,
)
from training.lungs.dice import dice
from training.lungs.network import with_mask_output
from training.lungs.segment import lung_masks
from training.lungs.workdir import LungEvaluation, LungWorkdir, TrainedSegmenter
from training.metrics import estimate, patient_bootstrap

FIGURES: dict[str, Callable[[NDArray[np.float64]], float]] = {
    "dice_median": np.median,
    "dice_mean": np.mean,
    "dice_lowest_tenth": partial(np.quantile, q=0.1),
}


def evaluate_lungs(data: Path, workdir: Path) -> LungEvaluation:
    """Measure the Dice coefficient on the test split, in each mask's own size.

    Args:
        data: The folder that ``fit_lungs`` was given.
        workdir: Of the finished training.

    Returns:
        What stands in ``evaluation.json``; ``dice-test.csv`` has the figure of each image.

    Raises:
        WorkdirIncomplete: The training has not ended.
        WorkdirMismatch: The images are not those of the training.
        DataError: The data set cannot be used.
        WriteFailed: The disk is full, or the workdir cannot be written.
    """
    work = LungWorkdir(workdir)
    trained = work.load()
    dataset = list_lung_images(data)
    if mask_digest(dataset) != trained.provenance.data_digest:
        raise WorkdirMismatch("These are not the images of the training: their digest differs.")
    source = load_lung_images(dataset, trained.recipe.preprocessing)
    used = work.read_split(source.dataset.table)
    test = used[used["split"] == "test"]
    table = test.assign(dice=_dice(trained, source, test))
    work.write_table(work.root / "dice-test.csv", table[["path", "group", "dice"]])
    evaluation = _measured(table, trained, source.dataset.name)
    work.write_json(work.evaluation, evaluation)
    return evaluation


def _dice(trained: TrainedSegmenter, source: LungImages, test: pd.DataFrame) -> list[float]:
    rows = test.index.to_numpy()
    truths = [read_mask(source.dataset.root / mask) for mask in test["mask"]]
    sizes = [truth.shape for truth in truths]
    found = lung_masks(with_mask_output(trained.model), source.images[rows], sizes)
    return [float(dice(mask, truth)) for mask, truth in zip(found, truths, strict=True)]


def _measured(table: pd.DataFrame, trained: TrainedSegmenter, dataset: str) -> LungEvaluation:
    patients = table.groupby("group")["dice"].mean()
    values = patients.to_numpy()
    counts = patient_bootstrap(patients.index.to_numpy(str), trained.recipe.seed).astype(np.int64)
    drawn = [np.repeat(values, row) for row in counts]
    name = f"{dataset}, held-out patients"
    metrics = []
    for figure, reduce in FIGURES.items():
        resampled: NDArray[np.float64] = np.array([reduce(draw) for draw in drawn])
        value = estimate(np.array([reduce(values)]), resampled)
        metrics.append(value.metric(name, figure, len(table)))
    return LungEvaluation(
        dataset=name,
        images=len(table),
        patients=len(values),
        worst=float(values.min()),
        metrics=tuple(metrics),
    )
