"""How much a model leaves to a person, and how often it errs in what it answers itself."""

from collections.abc import Iterator

import numpy as np

from contract.manifest import Metric
from training.conformal import COVERAGE, coverage_points, measure_coverage
from training.errors import CalibrationError
from training.measure import LEAST_IMAGES
from training.report.checks import Check, Outcome
from training.report.material import Material


def conformal(material: Material) -> Outcome:
    """Prediction sets that promise to hold the truth, chosen on the validation images."""
    if material.validation is None:
        return Outcome(summary="There are no validation images to choose the sets on: not done.")
    probabilities, classes = material.validation()
    labels = [finding.label for finding in material.findings]
    try:
        points = coverage_points(probabilities, classes, labels)
    except CalibrationError as error:
        return Outcome(summary=f"{error} Not done.")
    metrics = measure_coverage(
        material.predictions, points, labels, dataset=material.dataset, seed=material.seed
    )
    chosen = ", ".join(f"{la} {point:.3f}" for la, point in zip(labels, points, strict=True))
    return Outcome(
        summary=" ".join([_summary(metrics), f"Points: {chosen}.", *_few(material)]),
        metrics=metrics,
    )


def _summary(metrics: tuple[Metric, ...]) -> str:
    found = {m.name: m.value for m in metrics if m.label is None and m.source is None}
    wrong = found.get("conformal_error_answered")
    answered = "Nothing is answered." if wrong is None else f"Of the others {wrong:.1%} are wrong."
    return (
        "Split conformal prediction, class by class on the validation images, promises that the "
        f"true class is in an image's set for {COVERAGE:.0%}; here it is for "
        f"{found['conformal_coverage']:.1%}. An image that a gate stops, or whose set has not "
        f"exactly one class, is referred: {found['conformal_refer_share']:.1%}. {answered} These "
        "points are not the operating points, which keep to the recipe's rules."
    )


def _few(material: Material) -> Iterator[str]:
    names, counts = np.unique(material.predictions.sources, return_counts=True)
    few = [
        f"{name} ({count})"
        for name, count in zip(names.tolist(), counts.tolist(), strict=True)
        if count < LEAST_IMAGES
    ]
    if few and len(names) > 1:
        yield f"With fewer than {LEAST_IMAGES} images, so without figures: {', '.join(few)}."


ABSTENTION = (Check("conformal", "Are the prediction sets as good as their promise?", conformal),)
