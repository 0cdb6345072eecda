"""Measure a trained model on a split that it was not trained on. Nothing is chosen here."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from training.batches import PREDICTED_AT_ONCE
from training.evaluation import Evaluation, measure, measure_series, source_evidence
from training.figures import draw_evaluation
from training.lungs import Segment
from training.models import feature_model
from training.predictions import Predictions, count_answers, count_most_probable, doubts_of
from training.report.context import EvaluationContext
from training.report.write import write_report
from training.source import Split, load_split
from training.workdir import Workdir, load_trained

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

    The split ``test`` is the test set, official or drawn; ``validation`` is what the operating
    points were chosen on; ``left-out`` are the sources that the recipe leaves out. A report runs
    the shortcut-learning checks and writes the page too: ``segment`` finds the lungs for some of
    them, ``ood_folder`` has a folder for each kind of images that are no chest images. What comes
    back stands in ``evaluation.json``, or for another split in ``evaluation-<split>.json``.

    Raises:
        TrainingError: Any of ``training.errors``; it says what to do.
    """
    work, trained = Workdir(workdir), load_trained(workdir)
    source = load_split(trained, data, work, split, console)
    recipe, calibration, table = trained.config, trained.calibration, source.table
    findings, positive, seed = calibration.findings, recipe.data.positive, recipe.seed
    official = "official " if split == "test" and recipe.split.test_share is None else ""
    name = f"{source.dataset.name}, {official}{TITLES[split]}"
    rows, serving = table.index.to_numpy(), trained.serving_model()
    images = source.images[rows]
    outputs = _predict(serving, images)
    predictions = Predictions(
        logits=outputs["logits"],
        probabilities=outputs["probabilities"],
        classes=source.classes[rows],
        patients=table["patient"].to_numpy(np.str_),
        sources=table["source"].to_numpy(np.str_),
        doubts=doubts_of(images, outputs, calibration),
    )
    metrics = measure(predictions, findings, positive, dataset=name, seed=seed)
    if recipe.data.kind == "ct-slice":
        # By the rule that a manifest has unless it says otherwise.
        metrics += measure_series(predictions, findings, positive, "mean", dataset=name, seed=seed)
    evaluation = Evaluation(
        dataset=source.dataset.name,
        split=split,
        data_digest=source.digest,
        images=len(table),
        patients=table["patient"].nunique(),
        unreadable=source.unreadable,
        positive=positive,
        metrics=metrics,
        classes=recipe.data.classes,
        confusion=count_most_probable(predictions),
        answers=count_answers(predictions, findings),
        evidence=source_evidence(predictions, calibration, metrics),
    )
    written = table[["path", "patient", "source", "label"]].copy()
    for number, finding in enumerate(findings):
        written[f"probability_{finding.label}"] = predictions.probabilities[:, number]
    work.write_table(work.root / f"predictions-{split}.csv", written)
    plots = work.root / "figures"
    draw_evaluation(plots, split, predictions, findings, positive, evaluation.answers)
    if report:
        pooled = feature_model(trained.model)
        context = EvaluationContext(
            images=images,
            predictions=predictions,
            groups=table["group"].to_numpy(np.str_),
            paths=table["path"].to_numpy(np.str_),
            findings=findings,
            positive=positive,
            dataset=name,
            seed=seed,
            predict=lambda chosen: _predict(serving, chosen),
            features=lambda chosen: _predict(pooled, chosen),
            spec=recipe.preprocessing,
            segment=segment,
            quality=calibration.quality,
            ood=calibration.out_of_distribution,
            ood_folder=ood_folder,
        )
        evaluation = write_report(evaluation, context, trained, work.root, console)
    work.write_json(work.evaluation(split), evaluation)
    return evaluation


def _predict(model: keras.Model, images: NDArray[np.uint8]) -> Any:  # noqa: ANN401 - one or several
    return model.predict(np.asarray(images), batch_size=PREDICTED_AT_ONCE, verbose=0)
