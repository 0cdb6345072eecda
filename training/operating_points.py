"""Where a finding begins to count as present, by a rule, on the validation split alone."""

import numpy as np
from numpy.typing import NDArray

from training.config import OperatingPointConfig
from training.errors import CalibrationError

Scores = NDArray[np.float32]

_RULES = {
    "sensitivity": "the highest with a validation sensitivity",
    "specificity": "the lowest with a validation specificity",
    "coverage": "the highest with a coverage by split conformal prediction",
}


def operating_point(
    scores: Scores, truth: NDArray[np.bool_], config: OperatingPointConfig
) -> float:
    """Choose a finding's operating point.

    Args:
        scores: The finding's calibrated probability, float32, shape (shifts, images).
        truth: bool, shape (images,): whether the finding is there.
        config: The rule, its target, and whether it holds for all shifts together or for each.

    Returns:
        The least probability at which the finding counts as present, 0 to 1.

    Raises:
        CalibrationError: Too many images of other classes have probability 1, or there are too few
            images for the coverage.
    """
    chosen = scores[:, ~truth if config.rule == "specificity" else truth]
    groups = [chosen.ravel()] if config.over == "pooled" else list(chosen)
    if config.rule == "sensitivity":
        return min(_highest_with_sensitivity(group, config.target) for group in groups)
    if config.rule == "coverage":
        share = _share_to_cover(chosen.shape[1], config.target)
        return min(_highest_with_sensitivity(group, share) for group in groups)
    return max(_lowest_with_specificity(group, config.target) for group in groups)


def describe(config: OperatingPointConfig, shifts: int) -> str:
    """The rule in words, as the manifest gives it.

    Args:
        config: The rule.
        shifts: Under how many acquisition shifts the validation images were looked at.
    """
    rule = f"{_RULES[config.rule]} of at least {config.target:g}"
    if shifts == 1:
        return rule
    over = "over all of" if config.over == "pooled" else "under each of"
    return f"{rule} {over} {shifts} acquisition shifts"


def _share_to_cover(images: int, target: float) -> float:
    """The share of the validation images that must be found, so that a new one is, often enough.

    The classes are covered one by one. Images under several shifts are still no more images.

    Source: Vovk 2012, Conditional Validity of Inductive Conformal Predictors; Angelopoulos 2021, A
    Gentle Introduction to Conformal Prediction, on the quantile for a finite sample.
    """
    found = int(np.ceil((images + 1) * target - 1e-9))
    if found > images:
        raise CalibrationError(
            f"{images} validation images of a class are too few for a coverage of {target:g}: "
            "lower the target, or validate on more."
        )
    return found / images


def _highest_with_sensitivity(positives: Scores, target: float) -> float:
    """The score of the last positive image that must still be found."""
    may_be_missed = _at_most(1 - target, len(positives))
    return float(np.sort(positives)[may_be_missed])


def _lowest_with_specificity(negatives: Scores, target: float) -> float:
    """Just above the first negative image that must no longer be found."""
    may_be_found = _at_most(1 - target, len(negatives))
    highest = np.sort(negatives)[::-1][may_be_found]
    if highest >= 1:
        raise CalibrationError(
            f"No operating point reaches a specificity of {target:g} on the validation split: "
            "too many images of other classes have probability 1. Lower the target."
        )
    return float(np.nextafter(highest, np.float32(1)))


def _at_most(share: float, count: int) -> int:
    """The whole number of images in a share, forgiving the rounding of a decimal fraction."""
    return int(np.floor(share * count + 1e-9))
