"""Whether the quality gate refuses what a model fails on, and nothing else.

Each fault is put over the evaluated images in rising amounts. A level is harmful where the model's
accuracy has fallen by ten points; there the gate should refuse nearly all images, and of the images
as they are nearly none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.quality import CheckName, Quality, QualityLimits, assess
from training.degradations import DEGRADATIONS, Degradation, degraded
from training.figures import Curve, draw_curves
from training.metrics import (
    Estimate,
    Floats,
    Weights,
    balanced_accuracy,
    estimate,
    patient_bootstrap,
    ratio,
    whole,
)

HARMFUL_FALL = 0.1
HALF = 0.5
Images = NDArray[np.uint8]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Level(_Frozen):
    """What the model and the gate do at one amount of a fault.

    ``accuracy`` is the balanced accuracy of the most probable finding, whether refused or not.
    """

    level: float
    accuracy: Estimate
    caught: Estimate


class Fault(_Frozen):
    """One fault in several amounts, which grow worse; ``axis`` names the amount and its unit."""

    name: str
    axis: str
    levels: tuple[Level, ...]

    def harmful(self, accuracy: float) -> tuple[Level, ...]:
        """The levels at which the model is ten points worse than ``accuracy``."""
        return tuple(
            level for level in self.levels if accuracy - level.accuracy.value >= HARMFUL_FALL
        )


class QualityReport(_Frozen):
    """The gate on images as they are, and on images with a fault.

    ``refused_by`` gives the share of the images as they are that each check refuses.
    """

    images: int
    accuracy: Estimate
    refused: Estimate
    refused_by: dict[CheckName, float]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class GatedModel:
    """A model behind its gate, and images to try both on.

    ``predict`` takes uint8 images, shape (n, height, width, 1), and gives float32 probabilities,
    shape (n, classes). ``images`` are such images, ``classes`` int, shape (images,), and
    ``patients`` has one name per image.
    """

    predict: Callable[[Images], NDArray[np.float32]]
    limits: QualityLimits
    images: Images
    classes: NDArray[np.int64]
    patients: NDArray[np.str_]


def report_quality(model: GatedModel, seed: int) -> QualityReport:
    """Try every fault in every amount.

    Args:
        model: The model, its gate, and the images.
        seed: Of the faults and of the bootstrap.
    """
    drawn = patient_bootstrap(model.patients, seed)
    refused = [_assessed(image, model.limits) for image in model.images]
    return QualityReport(
        images=len(model.images),
        accuracy=_accuracy(model, model.images, drawn),
        refused=_share_of(np.array([not quality.accepted for quality in refused]), drawn),
        refused_by=_refused_by(refused, model.limits),
        faults=tuple(_fault(model, fault, drawn, seed) for fault in DEGRADATIONS),
    )


def draw_quality(path: Path, report: QualityReport) -> None:
    """Draw accuracy and caught share over the amount of each fault, and the gate's limit.

    The limit, a dashed line, is the amount from which on half of the images are refused.

    Raises:
        WriteFailed: The file cannot be written.
    """
    panels, limits = [], []
    for fault in report.faults:
        accuracy = [report.accuracy, *(level.accuracy for level in fault.levels)]
        caught = [report.refused, *(level.caught for level in fault.levels)]
        amounts = np.array([0, *(level.level for level in fault.levels)], float)
        limits.append(_half_refused(amounts, np.array([share.value for share in caught])))
        panels.append(
            (
                fault.axis,
                (
                    _curve("accuracy without the gate", amounts, accuracy),
                    _curve("refused by the gate", amounts, caught),
                ),
            )
        )
    draw_curves(path, panels, limits)


def _half_refused(amounts: Floats, caught: Floats) -> float | None:
    """Where the refused share first reaches one half, between two levels; None where it does not.

    Both have shape (levels,), in the order in which the fault grows worse.
    """
    beyond = np.flatnonzero(caught >= HALF)
    if not len(beyond):
        return None
    after = beyond[0]
    if after == 0:
        return float(amounts[0])
    pair = slice(after - 1, after + 1)
    return float(np.interp(HALF, caught[pair], amounts[pair]))


def _fault(model: GatedModel, fault: Degradation, drawn: Weights, seed: int) -> Fault:
    return Fault(
        name=fault.name,
        axis=fault.axis,
        levels=tuple(_level(model, fault, level, drawn, seed) for level in fault.levels),
    )


def _level(model: GatedModel, fault: Degradation, level: float, drawn: Weights, seed: int) -> Level:
    images = degraded(model.images, fault, level, np.random.default_rng(seed))
    caught = np.array([not _assessed(image, model.limits).accepted for image in images])
    return Level(
        level=level, accuracy=_accuracy(model, images, drawn), caught=_share_of(caught, drawn)
    )


def _assessed(image: Images, limits: QualityLimits) -> Quality:
    """Assess an array for what it shows; the shape and size of the file are not at issue."""
    return assess(image, *image.shape[:2], limits)


def _refused_by(assessed: list[Quality], limits: QualityLimits) -> dict[CheckName, float]:
    failed = [check.name for quality in assessed for check in quality.failed]
    return {limit.check: failed.count(limit.check) / len(assessed) for limit in limits.limits}


def _accuracy(model: GatedModel, images: Images, drawn: Weights) -> Estimate:
    said = model.predict(images).argmax(axis=1)

    def figure(weights: Weights) -> Floats:
        return balanced_accuracy(said, model.classes, weights)

    return estimate(figure(whole(len(said))), figure(drawn))


def _share_of(chosen: NDArray[np.bool_], drawn: Weights) -> Estimate:
    return estimate(chosen.mean(keepdims=True), ratio(drawn @ chosen, drawn.sum(axis=1)))


def _curve(name: str, amounts: Floats, shares: list[Estimate]) -> Curve:
    return Curve(
        name=name,
        x=amounts,
        y=np.array([share.value for share in shares]),
        lower=np.array([share.lower for share in shares]),
        upper=np.array([share.upper for share in shares]),
    )
