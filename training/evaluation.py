"""evaluation.json: how well a model does on one split, and how its figures are measured.

With a ``positive`` finding the figures of the whole are two-sided: that finding against the rest,
at its operating point. Without one they speak of the most probable class.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.findings import Label
from contract.manifest import Finding, Metric, SourceEvidence
from training.calibrate import Calibration, calibrated
from training.config import Frozen
from training.evidence import OTHERS
from training.metrics import (
    Floats,
    Weights,
    auprc,
    auroc,
    balanced_accuracy,
    brier,
    confusion,
    estimate,
    expected_calibration_error,
    macro_auroc,
    patient_bootstrap,
    ratio,
)
from training.predictions import Predictions, answered_outputs, read_as_series

# Of fewer images a figure says next to nothing: a source that has no more is counted only.
LEAST_IMAGES = 20
COUNTED = "images"
FOUR_COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
SEPARATION = ("auroc", "sensitivity", "specificity")
OF_SERIES = ("auroc", "macro_auroc", "refer_share", "accuracy_answered")
OF_A_SOURCE = ("macro_auroc", "accuracy", "refer_share", "accuracy_answered")

Figures = Mapping[str, Floats]
_Part = tuple[Label | None, str | None, int, Figures]
"""A finding, a source, the number of their images, and what was computed of them."""


class Evaluation(Frozen):
    """The figures of one split; the two-sided ones speak of ``positive`` against the rest.

    ``unreadable`` counts files of the data set, of all splits that were read to get at this one.
    Behind the measured ``metrics`` stand those of the report's checks, where there is a report.
    ``confusion`` counts images by their true class (rows) and their most probable one, both in
    output order; ``answers`` by their true class and the answer, "refer" last. ``evidence`` is by
    source, in the order of the graph's output, where the model tells its sources apart.
    """

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
    evidence: tuple[SourceEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class _Case:
    """Images, their answers (-1 is "refer"), operating points, and how each weighting counts."""

    predictions: Predictions
    answers: NDArray[np.int64]
    points: tuple[float, ...]
    weights: Weights

    def of(self, rows: NDArray[np.bool_]) -> "_Case":
        chosen = self.predictions.of(rows), self.answers[rows]
        return _Case(*chosen, self.points, self.weights[:, rows])


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
    where nothing is found. The two-sided figures speak of ``positive``, if there is one.

    Returns:
        The figures of the whole, then those of each finding, then, where there are several
        sources, those of each source and of each finding in each source; of a source with few
        images only their number, ``images``. ``refer_share`` and ``accuracy_answered`` count what
        the gates refer; those of a finding are of the images that truly have it.
    """
    images, labels = len(predictions.classes), [finding.label for finding in findings]
    case = _Case(
        predictions=predictions,
        answers=answered_outputs(predictions, findings),
        points=tuple(finding.operating_point for finding in findings),
        weights=patient_bootstrap(predictions.patients, seed),
    )
    number = None if positive is None else labels.index(positive)
    parts: list[_Part] = [
        (None, None, images, _of_all(case, number)),
        *_by_class(case, labels),
        *_by_source(case, labels, number),
    ]
    return tuple(
        Metric(
            dataset=dataset,
            name=name,
            images=count,
            label=label,
            source=source,
            **estimate(values)._asdict(),
        )
        for label, source, count, figures in parts
        for name, values in figures.items()
        if not np.isnan(values[0])
    )


def measure_series(
    predictions: Predictions,
    findings: tuple[Finding, ...],
    positive: Label | None,
    rule: str,
    *,
    dataset: str,
    seed: int,
) -> tuple[Metric, ...]:
    """Measure the answers for whole series, from their slices by a manifest's ``series_rule``.

    The other arguments are those of ``measure``, of slices. The figures, of the whole alone, are
    named ``series_``; ``images`` counts series.
    """
    series = read_as_series(predictions, findings, rule)
    if not len(series.classes):
        return ()
    dataset = f"{dataset}, series of several slices"
    return tuple(
        metric.model_copy(update={"name": f"series_{metric.name}"})
        for metric in measure(series, findings, positive, dataset=dataset, seed=seed)
        if metric.name in OF_SERIES and metric.label is None and metric.source is None
    )


def source_evidence(
    predictions: Predictions, calibration: Calibration, metrics: Sequence[Metric]
) -> tuple[SourceEvidence, ...]:
    """What the images of each source show, of those that the calibration tells apart.

    ``metrics`` are those of ``measure``, of these images.
    """
    # Of two classes, the AUROC of the positive one is the whole's.
    names = {"auroc": "macro_auroc"}
    measured = {
        (m.source, names.get(m.name, m.name)): (m.value, m.lower, m.upper)
        for m in sorted(metrics, key=lambda m: m.label is None)
    }
    labels = [finding.label for finding in calibration.findings]
    answers = answered_outputs(predictions, calibration.findings)
    named = np.isin(predictions.sources, list(calibration.sources))
    owners = np.where(named, predictions.sources, OTHERS)
    found = []
    for name, findings in calibration.sources.items():
        here, truth = answers[owners == name], predictions.classes[owners == name]
        called = {label: here == number for number, label in enumerate(labels)}
        found.append(
            SourceEvidence(
                name=name,
                findings=findings,
                images={label: int((truth == n).sum()) for n, label in enumerate(labels)},
                calls={
                    label: (int(rows.sum()), int((rows & (truth == here)).sum()))
                    for label, rows in called.items()
                },
                auroc=measured.get((name, "macro_auroc")),
                accuracy=measured.get((name, "accuracy_answered")),
                answered=float((here >= 0).mean()) if len(here) else 0.0,
            )
        )
    return tuple(found)


def _by_class(case: _Case, labels: list[Label]) -> Iterator[_Part]:
    for number, label in enumerate(labels):
        members = case.predictions.classes == number
        against = _against_the_rest(case, number)
        if not members.any():
            yield label, None, len(members), _only(SEPARATION, against)
            continue
        yield label, None, len(members), against
        yield label, None, int(members.sum()), _answering(case.of(members))


def _by_source(case: _Case, labels: list[Label], positive: int | None) -> Iterator[_Part]:
    sources = case.predictions.sources
    names, counts = np.unique(sources, return_counts=True)
    numbers = range(len(labels)) if positive is None else [positive]
    for name, count in zip(names.tolist(), counts.tolist(), strict=True) if len(names) > 1 else ():
        part = case.of(sources == name)
        if count < LEAST_IMAGES:
            # How many there are no resampling changes.
            yield None, name, count, {COUNTED: np.full(len(part.weights), float(count))}
            continue
        # What has a meaning also where the source has one class only.
        yield None, name, count, _only(OF_A_SOURCE, _of_all(part, positive))
        for number in numbers:
            against = _only(SEPARATION, _against_the_rest(part, number))
            yield labels[number], name, count, against


def _only(names: tuple[str, ...], figures: Figures) -> Figures:
    return {name: value for name, value in figures.items() if name in names}


def _of_all(case: _Case, positive: int | None) -> Figures:
    classes, weights = case.predictions.classes, case.weights
    scores = case.predictions.probabilities.astype(np.float64)
    # Without the temperature.
    raw = calibrated(case.predictions.logits, temperature=1.0).astype(np.float64)
    errors = {
        "ece": expected_calibration_error(scores, classes, weights),
        "ece_uncalibrated": expected_calibration_error(raw, classes, weights),
        "brier": brier(scores, classes, weights),
        "brier_uncalibrated": brier(raw, classes, weights),
    }
    if positive is None:
        said = scores.argmax(axis=1)
        return {
            "macro_auroc": macro_auroc(scores, classes, weights),
            "accuracy": ratio(weights @ (said == classes), weights.sum(axis=1)),
            "balanced_accuracy": balanced_accuracy(said, classes, weights),
            **_answering(case),
            **errors,
        }
    called = scores[:, positive] >= case.points[positive]
    counts = confusion(called, classes == positive, weights)
    figures = {
        **_against_the_rest(case, positive),
        **_answering(case),
        **errors,
        **{name: counts[name] for name in FOUR_COUNTS},
    }
    if scores.shape[1] > 2:
        figures["macro_auroc"] = macro_auroc(scores, classes, weights)
    return figures


def _against_the_rest(case: _Case, number: int) -> Figures:
    scores = case.predictions.probabilities[:, number].astype(np.float64)
    truth = case.predictions.classes == number
    counts = confusion(scores >= case.points[number], truth, case.weights)
    return {
        "auroc": auroc(scores, truth, case.weights),
        "auprc": auprc(scores, truth, case.weights),
        **{name: value for name, value in counts.items() if name not in FOUR_COUNTS},
    }


def _answering(case: _Case) -> Figures:
    """How often the model would refer an image to a person, and how often it is right else."""
    answered = case.answers >= 0
    right = case.answers == case.predictions.classes
    return {
        "refer_share": ratio(case.weights @ ~answered, case.weights.sum(axis=1)),
        "accuracy_answered": ratio(case.weights @ right, case.weights @ answered),
    }
