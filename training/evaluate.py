"""Measure a trained model on a split that it was not trained on. Nothing is chosen here."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from training.batches import ImageBatches
from training.config import Recipe
from training.evaluation import Evaluation, measure
from training.figures import draw_evaluation
from training.predictions import Predictions, count_answers, count_most_probable, refused_by_gates
from training.progress import progress_bar
from training.report.context import Segment, gather_context
from training.report.write import ReportFolder, with_finished_checks, write_report
from training.source import (
    Source,
    load_source,
    read_elsewhere,
    read_official_test,
    read_training_data,
)
from training.workdir import TrainedModel, Workdir

Split = Literal["test", "validation", "left-out"]
TITLES: dict[Split, str] = {
    "test": "test",
    "validation": "validation",
    "left-out": "left out of the training",
}


def evaluate(
    data: Path,
    workdir: Path,
    split: Split,
    console: Console,
    *,
    report: bool = False,
    segment: Segment | None = None,
    ood_folder: Path | None = None,
) -> Evaluation:
    """Evaluate a finished training; write its figures, its predictions and its plots.

    Args:
        data: The data set's folder.
        workdir: Of the finished training.
        split: ``test`` is the test set, official or drawn; ``validation`` is what the operating
            points were chosen on; ``left-out`` are the sources that the recipe leaves out.
        console: Where progress is shown.
        report: Whether to run the shortcut-learning checks and write the page too.
        segment: Finds the lungs in images without a mask, for some of the checks.
        ood_folder: A folder with a folder for each kind of images that are no chest images, for
            one check.

    Returns:
        What stands in ``evaluation.json``, or for another split in ``evaluation-<split>.json``.

    Raises:
        WorkdirIncomplete: The training has not ended.
        WorkdirMismatch: The images are not those of the training.
        DataError: The data set cannot be used.
        WriteFailed: The disk is full, or the workdir cannot be written.
    """
    work = Workdir(workdir)
    trained = work.load()
    source = _source(trained, data, work, split, console)
    predictions = _predict(trained, source)
    evaluation = _measure(trained, source, split, predictions)
    _write_predictions(work, split, source, predictions, trained)
    draw_evaluation(
        work.root / "figures",
        split,
        predictions,
        trained.calibration.findings,
        trained.config.data.positive,
        evaluation.answers,
    )
    folder = ReportFolder(work, split)
    if report:
        context = gather_context(
            trained,
            source,
            predictions,
            dataset=_name(source, split, trained.config),
            split=split,
            work=work,
            data=data,
            console=console,
            segment=segment,
            ood_folder=ood_folder,
        )
        with progress_bar(console) as bar:
            evaluation = write_report(evaluation, context, trained, folder, bar)
    else:
        evaluation = with_finished_checks(evaluation, folder, trained.config)
    work.write_json(work.evaluation(split), evaluation)
    return evaluation


def _source(
    trained: TrainedModel, data: Path, work: Workdir, split: Split, console: Console
) -> Source:
    recipe = trained.config
    with progress_bar(console) as bar:
        if split == "left-out":
            dataset, digest = read_elsewhere(recipe, data)
            return load_source(dataset, digest, recipe, work, split, bar)
        if split == "test" and recipe.split.test_share is None:
            dataset, digest = read_official_test(recipe, data)
            return load_source(dataset, digest, recipe, work, split, bar)
        dataset, digest = read_training_data(trained, data)
        source = load_source(dataset, digest, recipe, work, "development", bar)
    used = work.read_split(source.table)
    return replace(source, table=used[used["split"] == split])


def _predict(trained: TrainedModel, source: Source) -> Predictions:
    rows = source.table.index.to_numpy()
    outputs = trained.serving_model().predict(ImageBatches(source.images, rows), verbose=0)
    return Predictions(
        logits=outputs["logits"],
        probabilities=outputs["probabilities"],
        classes=source.classes[rows],
        patients=source.table["patient"].to_numpy(np.str_),
        sources=source.table["source"].to_numpy(np.str_),
        gated=refused_by_gates(source.images[rows], outputs, trained.calibration),
    )


def _measure(
    trained: TrainedModel, source: Source, split: Split, predictions: Predictions
) -> Evaluation:
    config, findings = trained.config, trained.calibration.findings
    return Evaluation(
        dataset=source.dataset.name,
        split=split,
        data_digest=source.digest,
        images=len(source.table),
        patients=source.table["patient"].nunique(),
        unreadable=source.unreadable,
        positive=config.data.positive,
        metrics=measure(
            predictions,
            findings,
            config.data.positive,
            dataset=_name(source, split, config),
            seed=config.seed,
        ),
        classes=config.data.classes,
        confusion=count_most_probable(predictions),
        answers=count_answers(predictions, findings),
    )


def _name(source: Source, split: Split, recipe: Recipe) -> str:
    official = "official " if split == "test" and recipe.split.test_share is None else ""
    return f"{source.dataset.name}, {official}{TITLES[split]}"


def _write_predictions(
    work: Workdir, split: Split, source: Source, predictions: Predictions, trained: TrainedModel
) -> None:
    table = source.table[["path", "patient", "source", "label"]].copy()
    for number, label in enumerate(trained.config.data.classes):
        table[f"probability_{label}"] = predictions.probabilities[:, number]
    work.write_table(work.root / f"predictions-{split}.csv", table)
