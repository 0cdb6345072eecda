"""Measure a trained model on a split that it was not trained on. Nothing is chosen here."""

from pathlib import Path

import numpy as np
from rich.console import Console

from training.batches import PREDICTED_AT_ONCE
from training.config import Recipe
from training.evaluation import Evaluation, measure, measure_series, source_evidence
from training.figures import draw_evaluation
from training.lungs import Segment
from training.predictions import Predictions, count_answers, count_most_probable, refused_by_gates
from training.report.context import gather_context
from training.report.write import write_report
from training.source import Source, Split, load_split
from training.workdir import TrainedModel, Workdir

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
        segment: Finds the lungs, for some of the checks.
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
    source = load_split(trained, data, work, split, console)
    predictions = _predict(trained, source)
    findings, positive = trained.calibration.findings, trained.config.data.positive
    name = _name(source, split, trained.config)
    seed = trained.config.seed
    metrics = measure(predictions, findings, positive, dataset=name, seed=seed)
    if trained.config.data.kind == "ct-slice":
        # By the rule that a manifest has unless it says otherwise.
        metrics += measure_series(predictions, findings, positive, "mean", dataset=name, seed=seed)
    evaluation = Evaluation(
        dataset=source.dataset.name,
        split=split,
        data_digest=source.digest,
        images=len(source.table),
        patients=source.table["patient"].nunique(),
        unreadable=source.unreadable,
        positive=positive,
        metrics=metrics,
        classes=trained.config.data.classes,
        confusion=count_most_probable(predictions),
        answers=count_answers(predictions, findings),
        evidence=source_evidence(predictions, trained.calibration, metrics),
    )
    table = source.table[["path", "patient", "source", "label"]].copy()
    for number, finding in enumerate(findings):
        table[f"probability_{finding.label}"] = predictions.probabilities[:, number]
    work.write_table(work.root / f"predictions-{split}.csv", table)
    plots = work.root / "figures"
    draw_evaluation(plots, split, predictions, findings, positive, evaluation.answers)
    if report:
        context = gather_context(
            trained, source, predictions, dataset=name, segment=segment, ood_folder=ood_folder
        )
        evaluation = write_report(evaluation, context, trained, work.root, console)
    work.write_json(work.evaluation(split), evaluation)
    return evaluation


def _predict(trained: TrainedModel, source: Source) -> Predictions:
    rows = source.table.index.to_numpy()
    images = source.images[rows]
    outputs = trained.serving_model().predict(images, batch_size=PREDICTED_AT_ONCE, verbose=0)
    return Predictions(
        logits=outputs["logits"],
        probabilities=outputs["probabilities"],
        classes=source.classes[rows],
        patients=source.table["patient"].to_numpy(np.str_),
        sources=source.table["source"].to_numpy(np.str_),
        gated=refused_by_gates(images, outputs, trained.calibration),
    )


def _name(source: Source, split: Split, recipe: Recipe) -> str:
    official = "official " if split == "test" and recipe.split.test_share is None else ""
    return f"{source.dataset.name}, {official}{TITLES[split]}"
