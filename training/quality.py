"""What a model accepts of an image's quality, from the images that it was trained on.

The limits are as wide as what the model has been calibrated to live with: percentiles of its
training images under the acquisition shifts, measured with ``contract.quality`` on the arrays that
the model sees, so that nothing differs between training and service; only shape and size are the
file's own. Templates tell a chest in its place from one that is turned, cut off or inverted.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from contract.quality import (
    FAULTS,
    CheckName,
    Fault,
    Limit,
    QualityLimits,
    Template,
    Templates,
    measure,
    thumbnail,
)
from contract.radiograph import decode
from training.errors import CalibrationError
from training.source import Source
from training.transforms import ACQUISITION_SHIFTS, cornered, rotated, shifted

TEMPLATE_IMAGES = 500
LIMIT_IMAGES = 800
FILES = 200
# The share of the images that one limit may refuse under any one shift: the first of these with
# which all limits together refuse few enough of the images as they are. Limits that are wider than
# that accept images on which the model fails.
TAILS = (0.01, 0.005, 0.002, 0.001, 0.0)
# Half of what may be refused at all, since validation images differ a little from these.
MOST_REFUSED = 0.01
# A fault must at least be more probable than everything else.
LEAST_PROBABILITY = 0.5
# Public sets come stretched to squares, so the shapes that a file may have are theirs and half or
# double as wide; a thumbnail of less than half of the input's size shows too little.
ASPECT_FACTOR = 2
RESOLUTION_SHARE = 0.5

# Of the templates: the side of a thumbnail, the inverse of the penalty, and how wrongly an image is
# put.
SIDE = 12
STRENGTH = 1.0
DECIMALS = 4
CUT_SHARES = (0.28, 0.65)
TILTS_DEGREES = (25, 65)

_LOWER: tuple[CheckName, ...] = ("exposure", "contrast", "sharpness")
_UPPER: tuple[CheckName, ...] = ("exposure", "noise", "clipping", "collimation")


def quality_limits(source: Source, shifts: Sequence[str], seed: int) -> QualityLimits:
    """Fit what a model accepts on the training images of a source; see ``fit_quality_limits``."""
    rows = source.rows("train")
    table = source.table.loc[rows]
    files = [source.dataset.root / path for path in table["path"][:: max(1, len(rows) // FILES)]]
    read = (decode(file.read_bytes()) for file in files)
    sizes = np.array([(radiograph.rows, radiograph.columns) for radiograph in read])
    groups = table["group"].to_numpy(np.str_)
    return fit_quality_limits(np.asarray(source.images[rows]), groups, sizes, shifts, seed)


def fit_quality_limits(
    images: NDArray[np.uint8],
    groups: NDArray[np.str_],
    sizes: NDArray[np.int64],
    shifts: Sequence[str],
    seed: int,
) -> QualityLimits:
    """Fit what a model accepts, on some hundreds of images, uint8, (images, height, width, 1).

    Images of one group show the same patient: ``CalibrationError`` where there is but one.
    ``sizes``, int, shape (files, 2), are the rows and columns of some of the files; ``shifts``,
    ``none`` among them, must be accepted.
    """
    random = np.random.default_rng(seed)
    names = random.permutation(np.unique(groups))
    if len(names) < 2:
        raise CalibrationError("Quality limits need the images of at least two patients.")
    first = np.isin(groups, names[: len(names) // 2])
    # Templates know the images that they were learned from too well, so limits come from others.
    for_templates, for_limits = (
        random.permutation(np.flatnonzero(half)) for half in (first, ~first)
    )
    position = fit_templates(images[for_templates[:TEMPLATE_IMAGES]], shifts, random)
    images = images[for_limits[:LIMIT_IMAGES]]
    # A row for each image, a column for each check.
    measured = {
        name: pd.DataFrame(
            [measure(image[..., 0], *image.shape[:2], position) for image in shifted(images, name)]
        )
        for name in shifts
    }
    aspects = sizes[:, 1] / sizes[:, 0]
    narrowest, widest = aspects.min() / ASPECT_FACTOR, aspects.max() * ASPECT_FACTOR
    smallest = min(sizes.min(), round(min(images.shape[1:3]) * RESOLUTION_SHARE))
    return QualityLimits(
        limits=(
            *_tightest_allowed(list(measured.values()), measured["none"]),
            Limit(check="aspect", lower=_rounded(narrowest), upper=_rounded(widest)),
            Limit(check="resolution", lower=float(smallest)),
        ),
        position=position,
    )


def _tightest_allowed(
    measured: Sequence[pd.DataFrame], unshifted: pd.DataFrame
) -> tuple[Limit, ...]:
    """The tightest limits that refuse few enough of the images as they are."""
    checks = dict.fromkeys((*_LOWER, *_UPPER, *FAULTS))
    for tail in TAILS:
        limits = tuple(_limit(check, measured, tail) for check in checks)
        beyond = [
            (unshifted[limit.check] < (-np.inf if limit.lower is None else limit.lower))
            | (unshifted[limit.check] > (np.inf if limit.upper is None else limit.upper))
            for limit in limits
        ]
        if np.any(beyond, axis=0).mean() <= MOST_REFUSED:
            break
    return limits


def _limit(check: CheckName, measured: Sequence[pd.DataFrame], tail: float) -> Limit:
    """The widest limit that any shift asks for."""
    lower = min(float(np.quantile(values[check], tail)) for values in measured)
    upper = max(float(np.quantile(values[check], 1 - tail)) for values in measured)
    if check in FAULTS:
        return Limit(check=check, upper=_rounded(max(upper, LEAST_PROBABILITY)))
    return Limit(
        check=check,
        lower=_rounded(lower) if check in _LOWER else None,
        upper=_rounded(upper) if check in _UPPER else None,
    )


def _rounded(value: float) -> float:
    """To four significant digits: more would say nothing."""
    return float(f"{value:.4g}")


def fit_templates(images: NDArray[np.uint8], shifts: Sequence[str], random: Generator) -> Templates:
    """Learn templates from images, uint8 (images, height, width, 1), and from the same put wrongly.

    Multinomial logistic regression on thumbnails. Images under one of the ``shifts``, and mirrored
    ones, count as right.
    """
    planes = [np.asarray(image[..., 0]) for image in images]
    mirrored = [np.ascontiguousarray(plane[:, ::-1]) for plane in planes]
    changed = [ACQUISITION_SHIFTS[name](plane) for name in shifts for plane in planes]
    turned = [
        rotated(plane, degrees, random)
        for plane in planes
        for degrees in (90, 90, random.uniform(*TILTS_DEGREES), random.uniform(*TILTS_DEGREES))
    ]
    # One class of the regression each, after the images as they should be.
    wrong: tuple[tuple[Fault, list[NDArray[np.uint8]]], ...] = (
        ("rotation", turned),
        ("rotation", [rotated(plane, 180, random) for plane in planes]),
        ("framing", [cornered(p, random.uniform(*CUT_SHARES), random) for p in planes * 4]),
        ("inversion", [255 - plane for plane in planes]),
    )
    kinds = [[*planes, *mirrored, *changed], *(kind for _, kind in wrong)]
    thumbnails = np.stack([thumbnail(plane, SIDE) for kind in kinds for plane in kind])
    classes = np.repeat(np.arange(len(kinds)), [len(kind) for kind in kinds])
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", solver="newton-cholesky")
    model.fit(thumbnails, classes)
    # Only differences from an image as it should be matter.
    weights = np.round(model.coef_[1:] - model.coef_[0], DECIMALS).tolist()
    biases = np.round(model.intercept_[1:] - model.intercept_[0], DECIMALS).tolist()
    return Templates(
        side=SIDE,
        templates=tuple(
            Template(fault=fault, bias=bias, weights=tuple(row))
            for (fault, _), bias, row in zip(wrong, biases, weights, strict=True)
        ),
    )
