"""Measure a trained model on a split that it was not trained on. Nothing is chosen here."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from training.calibrate import calibrated
from training.datasets import OfficialSplit
from training.evaluation import Evaluation
from training.figures import draw_reliability, draw_roc, draw_scores
from training.input_pipeline import ImageBatches
from training.measure import Predictions, measure
from training.progress import progress_bar
from training.source import Source, load_source, read_labelled, read_training_split
from training.workdir import TrainedModel, Workdir

Split = Literal["test", "validation"]


def evaluate(data: Path, workdir: Path, split: Split, console: Console) -> Evaluation:
    """Evaluate a finished training; write its figures, its predictions and a few pictures.

    Args:
        data: The data set's folder.
        workdir: Of the finished training.
        split: ``test`` is the official test set; ``validation`` is the part of the training set
            that the operating points were chosen on.
        console: Where progress is shown.

    Returns:
        What stands in ``evaluation.json``, or for ``validation`` in ``evaluation-validation.json``.

    Raises:
        WorkdirIncomplete: The training has not ended.
        WorkdirMismatch: The validation images are not those of the training.
        DataError: The data set cannot be used.
        WriteFailed: The disk is full, or the workdir cannot be written.
    """
    work = Workdir(workdir)
    trained = work.load()
    source = _source(trained, data, work, split, console)
    predictions = _predict(trained, source)
    config = trained.config
    name = f"{source.dataset.name}, {'official test' if split == 'test' else 'validation'}"
    evaluation = Evaluation(
        dataset=source.dataset.name,
        split=split,
        data_digest=source.digest,
        images=len(source.table),
        patients=source.table["patient"].nunique(),
        unreadable=source.unreadable,
        positive=config.data.positive,
        metrics=measure(
            predictions,
            trained.calibration.findings,
            config.data.positive,
            dataset=name,
            seed=config.seed,
        ),
    )
    _write_predictions(work, split, source, predictions, trained)
    _draw(work.root / "figures", split, predictions, trained)
    work.write_json(work.evaluation(split), evaluation)
    return evaluation


def _source(
    trained: TrainedModel, data: Path, work: Workdir, split: Split, console: Console
) -> Source:
    official: OfficialSplit = "test" if split == "test" else "train"
    if split == "test":
        dataset, digest = read_labelled(trained.config, data, official)
    else:
        dataset, digest = read_training_split(trained, data)
    with progress_bar(console) as bar:
        source = load_source(dataset, digest, trained.config, work, official, bar)
    if split == "test":
        return source
    used = work.read_split(source.table)
    return replace(source, table=used[used["split"] == "validation"])


def _predict(trained: TrainedModel, source: Source) -> Predictions:
    rows = source.table.index.to_numpy()
    outputs = trained.serving_model().predict(ImageBatches(source.images, rows), verbose=0)
    return Predictions(
        logits=outputs["logits"],
        probabilities=outputs["probabilities"],
        classes=source.classes[rows],
        patients=source.table["patient"].to_numpy(dtype=np.str_),
    )


def _write_predictions(
    work: Workdir, split: Split, source: Source, predictions: Predictions, trained: TrainedModel
) -> None:
    table = source.table[["path", "patient", "label"]].copy()
    for number, label in enumerate(trained.config.data.classes):
        table[f"probability_{label}"] = predictions.probabilities[:, number]
    work.write_table(work.root / f"predictions-{split}.csv", table)


def _draw(folder: Path, split: Split, predictions: Predictions, trained: TrainedModel) -> None:
    labels = trained.config.data.classes
    number = labels.index(trained.config.data.positive)
    scores = predictions.probabilities[:, number].astype(np.float64)
    truth = predictions.classes == number
    points = {f.label: f.operating_point for f in trained.calibration.findings}
    draw_roc(folder / f"{split}-roc.png", scores, truth, points[labels[number]])
    draw_reliability(
        folder / f"{split}-reliability.png",
        calibrated(predictions.logits, temperature=1.0),
        predictions.probabilities,
        predictions.classes,
    )
    draw_scores(folder / f"{split}-scores.png", scores, truth, points[labels[number]])
