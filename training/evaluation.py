"""evaluation.json: how well a model does on one split, and how its figures are measured.

With a ``positive`` finding the figures of the whole are two-sided: that finding against the rest,
at its operating point. Without one they speak of the most probable class.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.findings import Label
from contract.manifest import Finding, Metric
from training.calibrate import calibrated
from training.metrics import (
    Floats,
    Weights,
    auprc,
    auroc,
    balanced_accuracy,
    brier,
    brier_over_classes,
    confusion,
    estimate,
    expected_calibration_error,
    macro_auroc,
    patient_bootstrap,
    ratio,
    whole,
)
from training.predictions import Predictions, answered_outputs

# Of fewer images a figure says next to nothing: a source that has no more is counted only.
LEAST_IMAGES = 20
COUNTED = "images"
SEPARATION = ("auroc", "sensitivity", "specificity")
OF_A_SOURCE = ("macro_auroc", "accuracy", "refer_share", "accuracy_answered")

Figures = Mapping[str, Floats]
Rows = NDArray[np.bool_]


class Evaluation(BaseModel):
    """The figures of one split; the two-sided ones speak of ``positive`` against the rest.

    ``metrics`` holds the measured figures, and behind them those of the report's checks, as soon as
    there is a report. ``confusion`` counts images by their true class (rows) and their most
    probable one (columns), both in output order; ``answers`` by their true class and the answer,
    with "refer" as the last column. The operating points are those of calibration.json, read,
    never chosen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    split: str
    data_digest: str
    images: int
    patients: int
    unreadable: int
    positive: Label | None
    metrics: tuple[Metric, ...]
    classes: tuple[Label, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    answers: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class _Case:
    """Predictions with what is answered by them: an output's number, or -1 for "refer".

    ``positive`` is the number of the positive finding's output.
    """

    predictions: Predictions
    answers: NDArray[np.int64]
    points: tuple[float, ...]
    positive: int | None

    def of(self, rows: Rows) -> "_Case":
        return replace(self, predictions=self.predictions.of(rows), answers=self.answers[rows])


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the images, and what is computed of them."""

    label: Label | None
    source: str | None
    rows: Rows
    figures: Callable[[_Case, Weights], Figures]


def measure(
    predictions: Predictions,
    findings: tuple[Finding, ...],
    positive: Label | None,
    *,
    dataset: str,
    seed: int,
) -> tuple[Metric, ...]:
    """Measure with 95 % intervals from a bootstrap over patients.

    A figure that the images do not give is left out: an AUROC of one class alone, a precision
    where nothing is found.

    Args:
        predictions: Of the images to measure on.
        findings: The model's, in output order, with their operating points.
        positive: The finding that the two-sided figures speak of; None where there is none.
        dataset: What the figures are said to be of.
        seed: Of the bootstrap.

    Returns:
        The figures of the whole, then those of each finding, then, where there are several
        sources, those of each source and of each finding in each source; of a source with few
        images only their number, ``images``. ``refer_share`` and ``accuracy_answered`` count what
        the gates refer; those of a finding are of the images that truly have it.
    """
    case, labels = _case(predictions, findings, positive), [finding.label for finding in findings]
    parts = [_whole(case), *_by_class(case, labels), *_by_source(case, labels)]
    return _measured(case, parts, dataset, seed)


def measure_whole(
    predictions: Predictions,
    findings: tuple[Finding, ...],
    positive: Label | None,
    *,
    dataset: str,
    seed: int,
) -> tuple[Metric, ...]:
    """As ``measure``, but only the figures of all images and findings together."""
    case = _case(predictions, findings, positive)
    return _measured(case, [_whole(case)], dataset, seed)


def _case(predictions: Predictions, findings: tuple[Finding, ...], positive: Label | None) -> _Case:
    labels = [finding.label for finding in findings]
    return _Case(
        predictions=predictions,
        answers=answered_outputs(predictions, findings),
        points=tuple(finding.operating_point for finding in findings),
        positive=None if positive is None else labels.index(positive),
    )


def _measured(case: _Case, parts: list[_Part], dataset: str, seed: int) -> tuple[Metric, ...]:
    drawn = patient_bootstrap(case.predictions.patients, seed)
    return tuple(metric for part in parts for metric in _metrics(case, part, drawn, dataset))


def _metrics(case: _Case, part: _Part, drawn: Weights, dataset: str) -> Iterator[Metric]:
    chosen, images = case.of(part.rows), int(part.rows.sum())
    resampled = part.figures(chosen, drawn if part.rows.all() else drawn[:, part.rows])
    for name, value in part.figures(chosen, whole(images)).items():
        if not np.isnan(value[0]):
            figure = estimate(value, resampled[name])
            yield figure.metric(dataset, name, images, part.label, part.source)


def _whole(case: _Case) -> _Part:
    figures = _one_side if case.positive is None else _two_sides
    return _Part(None, None, np.ones(len(case.answers), dtype=bool), figures)


def _by_class(case: _Case, labels: list[Label]) -> Iterator[_Part]:
    everything = np.ones(len(case.answers), dtype=bool)
    for number, label in enumerate(labels):
        members = case.predictions.classes == number
        against = partial(_against_the_rest, number)
        yield _Part(
            label, None, everything, against if members.any() else _only(SEPARATION, against)
        )
        if members.any():
            yield _Part(label, None, members, _answering)


def _by_source(case: _Case, labels: list[Label]) -> Iterator[_Part]:
    sources = case.predictions.sources
    names, counts = np.unique(sources, return_counts=True)
    if len(names) < 2:
        return
    together = _whole(case).figures
    numbers = range(len(labels)) if case.positive is None else [case.positive]
    for name, count in zip(names.tolist(), counts.tolist(), strict=True):
        if count < LEAST_IMAGES:
            yield _Part(None, name, sources == name, _counted)
            continue
        # What has a meaning also where the source has one class only.
        yield _Part(None, name, sources == name, _only(OF_A_SOURCE, together))
        for number in numbers:
            against = _only(SEPARATION, partial(_against_the_rest, number))
            yield _Part(labels[number], name, sources == name, against)


def _only(
    names: tuple[str, ...], figures: Callable[[_Case, Weights], Figures]
) -> Callable[[_Case, Weights], Figures]:
    def chosen(case: _Case, weights: Weights) -> Figures:
        return {name: value for name, value in figures(case, weights).items() if name in names}

    return chosen


def _two_sides(case: _Case, weights: Weights) -> Figures:
    predictions, number = case.predictions, case.positive
    scores, raw = _probabilities(predictions)
    truth = predictions.classes == number
    counts = confusion(scores[:, number] >= case.points[number], truth, weights)
    figures = {
        **_against_the_rest(number, case, weights),
        **_answering(case, weights),
        "ece": expected_calibration_error(scores, predictions.classes, weights),
        "ece_uncalibrated": expected_calibration_error(raw, predictions.classes, weights),
        "brier": brier(scores[:, number], truth, weights),
        "brier_uncalibrated": brier(raw[:, number], truth, weights),
        "true_positives": counts.true_positives,
        "false_positives": counts.false_positives,
        "true_negatives": counts.true_negatives,
        "false_negatives": counts.false_negatives,
    }
    if scores.shape[1] > 2:
        figures["macro_auroc"] = macro_auroc(scores, predictions.classes, weights)
    return figures


def _one_side(case: _Case, weights: Weights) -> Figures:
    classes = case.predictions.classes
    scores, raw = _probabilities(case.predictions)
    said = scores.argmax(axis=1)
    return {
        "macro_auroc": macro_auroc(scores, classes, weights),
        "accuracy": ratio(weights @ (said == classes), weights.sum(axis=1)),
        "balanced_accuracy": balanced_accuracy(said, classes, weights),
        **_answering(case, weights),
        "ece": expected_calibration_error(scores, classes, weights),
        "ece_uncalibrated": expected_calibration_error(raw, classes, weights),
        "brier": brier_over_classes(scores, classes, weights),
        "brier_uncalibrated": brier_over_classes(raw, classes, weights),
    }


def _against_the_rest(number: int, case: _Case, weights: Weights) -> Figures:
    scores = case.predictions.probabilities[:, number].astype(np.float64)
    truth = case.predictions.classes == number
    counts = confusion(scores >= case.points[number], truth, weights)
    return {
        "auroc": auroc(scores, truth, weights),
        "auprc": auprc(scores, truth, weights),
        "accuracy": counts.accuracy,
        "sensitivity": counts.sensitivity,
        "specificity": counts.specificity,
        "precision": counts.precision,
        "f1": counts.f1,
    }


def _answering(case: _Case, weights: Weights) -> Figures:
    """How often the model would refer an image to a person, and how often it is right else."""
    answered = case.answers >= 0
    right = case.answers == case.predictions.classes
    return {
        "refer_share": ratio(weights @ ~answered, weights.sum(axis=1)),
        "accuracy_answered": ratio(weights @ right, weights @ answered),
    }


def _counted(case: _Case, weights: Weights) -> Figures:
    """How many there are, which no resampling changes."""
    return {COUNTED: np.full(len(weights), float(len(case.answers)))}


def _probabilities(predictions: Predictions) -> tuple[Floats, Floats]:
    """With the temperature and without it, in double precision."""
    raw = calibrated(predictions.logits, temperature=1.0)
    return predictions.probabilities.astype(np.float64), raw.astype(np.float64)
