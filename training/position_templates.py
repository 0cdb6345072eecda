"""Templates that tell a chest in its place from one that is turned, cut off or inverted."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from contract.position import Fault, Template, Templates, thumbnail
from training.acquisition_shifts import ACQUISITION_SHIFTS
from training.degradations import cornered, inverted, rotated

SIDE = 12
# The inverse of the penalty.
STRENGTH = 1.0
DECIMALS = 4
CUT_SHARES = (0.28, 0.65)
TILTS_DEGREES = (25, 65)

Plane = NDArray[np.uint8]
# One class of the regression each, after the images as they should be.
_FAULTS: tuple[Fault, ...] = ("rotation", "rotation", "framing", "inversion")


def fit_templates(images: NDArray[np.uint8], shifts: Sequence[str], random: Generator) -> Templates:
    """Learn templates from images, and from the same images put wrongly.

    Multinomial logistic regression on thumbnails. Images under an acquisition shift, and mirrored
    ones, count as right.

    Args:
        images: uint8, shape (images, height, width, 1), at least one.
        shifts: Names of ``ACQUISITION_SHIFTS`` that the templates must not see a fault in.
        random: Decides how each image is put wrongly.
    """
    planes = [np.asarray(image[..., 0]) for image in images]
    kinds = [_sound(planes, shifts), *_faulty(planes, random)]
    thumbnails = np.concatenate([_thumbnails(kind) for kind in kinds])
    classes = np.repeat(np.arange(len(kinds)), [len(kind) for kind in kinds])
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", solver="newton-cholesky").fit(
        thumbnails, classes
    )
    # Only differences from a sound image matter.
    weights = np.round(model.coef_[1:] - model.coef_[0], DECIMALS)
    biases = np.round(model.intercept_[1:] - model.intercept_[0], DECIMALS)
    return Templates(
        side=SIDE,
        templates=tuple(
            Template(fault=fault, bias=bias, weights=tuple(row))
            for fault, bias, row in zip(_FAULTS, biases.tolist(), weights.tolist(), strict=True)
        ),
    )


def _sound(planes: Sequence[Plane], shifts: Sequence[str]) -> list[Plane]:
    mirrored = [np.ascontiguousarray(plane[:, ::-1]) for plane in planes]
    shifted = [ACQUISITION_SHIFTS[name](plane) for name in shifts for plane in planes]
    return [*planes, *mirrored, *shifted]


def _faulty(planes: Sequence[Plane], random: Generator) -> Iterator[list[Plane]]:
    """The images put wrongly, in the order of ``_FAULTS``."""
    yield [
        turned
        for plane in planes
        for turned in (
            rotated(plane, 90, random),
            rotated(plane, 90, random),
            rotated(plane, random.uniform(*TILTS_DEGREES), random),
            rotated(plane, random.uniform(*TILTS_DEGREES), random),
        )
    ]
    yield [rotated(plane, 180, random) for plane in planes]
    yield [
        cornered(plane, random.uniform(*CUT_SHARES), random) for plane in planes for _ in range(4)
    ]
    yield [inverted(plane, 1, random) for plane in planes]


def _thumbnails(planes: Sequence[Plane]) -> NDArray[np.float64]:
    return np.stack([thumbnail(plane, SIDE) for plane in planes])
