"""What follows from knowing where the lungs are: pure functions on masks.

"Right" and "left" are the patient's: on a frontal radiograph as it is looked at, the right lung
lies on the left side of the image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from contract.pixels import resize
from contract.quality import Frozen, Limit, Quality, checked

Mask = NDArray[np.bool_]

THRESHOLD = 0.5
# A region smaller than this share of the largest is a stray patch and no lung.
LEAST_SECOND_LUNG = 0.1
# Two lungs that have grown together are thin between them: this share of their height at most.
MOST_BRIDGE = 0.6


@dataclass(frozen=True, slots=True)
class Lungs:
    """The two lungs of one image: bool, shape (rows, columns) each, empty where one is missing."""

    right: Mask
    left: Mask


class LungFieldLimits(Frozen):
    """When the lungs are looked for, and how complete they must be.

    ``doubt`` is the value of ``framing`` above which they are; ``lower`` the least
    ``completeness`` that is accepted.
    """

    doubt: float = Field(ge=0, le=1)
    lower: float = Field(ge=0, le=1)


def lung_mask(probability: NDArray[np.float32], size: tuple[int, int]) -> Mask:
    """Turn a segmenter's output into a clean mask of another size.

    The two largest regions stay, without holes.

    ``probability``: float32, shape (rows, columns), 0 to 1. ``size``: the wanted (height, width).
    The result: bool, shape (height, width).
    """
    found = probability >= THRESHOLD
    kept = _two_largest(found)
    # What was dropped turns black and what was enclosed white before the outline is drawn finer.
    clean = np.where(kept == found, probability, kept).astype(np.float32)
    mask: Mask = resize(clean, size) >= THRESHOLD
    return mask


def split_lungs(mask: Mask) -> Lungs:
    """Tell the right lung from the left one.

    ``mask``: bool, shape (rows, columns): from ``lung_mask``.
    """
    labels = label_regions(mask)
    if labels.max(initial=0) < 2:
        return _split_single(mask)
    columns = np.arange(mask.shape[1])
    # More than two regions go to the side that they lie on.
    centres = [columns[(labels == n).any(axis=0)].mean() for n in range(1, labels.max() + 1)]
    middle = (min(centres) + max(centres)) / 2
    right = np.isin(labels, [n for n, centre in enumerate(centres, 1) if centre <= middle])
    return Lungs(right=right, left=mask & ~right)


def completeness(mask: Mask) -> float:
    """Measure how much of two lungs is in the picture.

    1 stands for two of a size that are not cut off, 0 for a missing one.
    A cut makes one lung smaller than the other, or puts its outline on the edge, or both: the ratio
    of their areas, times the share of the outline inside the picture, of that lung of which it is
    less.

    ``mask``: bool, shape (rows, columns), at least 2 by 2.
    """
    lungs = split_lungs(mask)
    smaller, larger = sorted((int(lungs.right.sum()), int(lungs.left.sum())))
    balance = smaller / larger if larger else 0.0
    return balance * min(_inside_share(lungs.right), _inside_share(lungs.left))


def is_doubtful(quality: Quality, limits: LungFieldLimits) -> bool:
    """Whether an image may show a part of the chest only."""
    return any(check.name == "framing" and check.value > limits.doubt for check in quality.checks)


def with_lung_field(quality: Quality, mask: Mask, limits: LungFieldLimits) -> Quality:
    """Add the check of the lungs to those of an image.

    ``mask``: its lungs, bool, shape (rows, columns): from ``lung_mask``.
    """
    limit = Limit(check="lung_field", lower=limits.lower)
    check = checked(limit, completeness(mask))
    return Quality(checks=(*quality.checks, check))


def share_inside(activation: NDArray[np.float32], mask: Mask) -> float | None:
    """Measure how much of what speaks for a finding lies in the lungs.

    ``activation``: one class's activation map of the same image, float32, any (rows, columns).
    ``mask``: its lungs, bool, shape (height, width). The result: the share of the positive
    activation, 0 to 1; None where there is none, or no lung.
    """
    positive = np.maximum(resize(activation, mask.shape), 0)
    total = float(positive.sum())
    return float(positive[mask].sum()) / total if total and mask.any() else None


def _inside_share(lung: Mask) -> float:
    framed = np.pad(lung, 1)
    enclosed = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    outline = lung & ~enclosed
    length = int(outline.sum())
    return int(outline[1:-1, 1:-1].sum()) / length if length else 0.0


def _two_largest(mask: Mask) -> Mask:
    labels = label_regions(mask)
    sizes = np.bincount(labels.ravel())[1:]
    if not len(sizes):
        return mask
    largest = np.argsort(-sizes, kind="stable")[:2]
    kept = largest[sizes[largest] >= LEAST_SECOND_LUNG * sizes.max()]
    return without_holes(np.isin(labels, kept + 1))


def _split_single(mask: Mask) -> Lungs:
    """One region: both lungs grown together, or a single lung, or none."""
    heights = mask.sum(axis=0)
    nothing = np.zeros_like(mask)
    occupied = np.flatnonzero(heights)
    if not len(occupied):
        return Lungs(right=nothing, left=nothing)
    first, last = occupied[0], occupied[-1]
    quarter = (last - first + 1) // 4
    middle = heights[first + quarter : last + 1 - quarter]
    cut = first + quarter + int(middle.argmin())
    sides = heights[:cut].max(initial=0), heights[cut:].max(initial=0)
    if middle.min() <= MOST_BRIDGE * min(sides):
        right = mask & (np.arange(mask.shape[1]) < cut)
        return Lungs(right=right, left=mask & ~right)
    if (first + last) / 2 < (mask.shape[1] - 1) / 2:
        return Lungs(right=mask, left=nothing)
    return Lungs(right=nothing, left=mask)


def label_regions(mask: Mask) -> NDArray[np.int64]:
    """Number the regions whose pixels touch side by side or one above the other.

    ``mask``: bool, shape (rows, columns). The result: int64, the same shape: 0 outside, 1 and up
    for the regions. Source: Rosenfeld 1966, Sequential Operations in Digital Picture Processing; by
    runs of pixels.
    """
    starts = mask & ~np.pad(mask, ((0, 0), (1, 0)))[:, :-1]
    run = np.cumsum(starts).reshape(mask.shape) - 1
    # Where two runs lie one above the other, one of them starts at the first pixel that they share.
    meeting = mask[1:] & mask[:-1] & (starts[1:] | starts[:-1])
    pairs = np.stack([run[:-1][meeting], run[1:][meeting]])
    names = _joined(int(starts.sum()), pairs)
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = names[run[mask]] + 1
    return labels


def without_holes(mask: Mask) -> Mask:
    """Fill what the mask encloses on all sides. ``mask``: bool, shape (rows, columns)."""
    # The margin joins all of the outside, also where the mask divides it.
    outside = label_regions(np.pad(~mask, 1, constant_values=True))
    filled: Mask = outside[1:-1, 1:-1] != outside[0, 0]
    return filled


def _joined(runs: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the regions that the runs form, given which of them touch."""
    parent = list(range(runs))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = run = parent[parent[run]]
        return run

    for first, second in pairs.T.tolist():
        parent[root(second)] = root(first)
    roots = np.array([root(run) for run in range(runs)], np.int64)
    names: NDArray[np.int64] = np.unique(roots, return_inverse=True)[1]
    return names
