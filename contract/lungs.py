"""What follows from knowing where the lungs are: pure functions on masks.

"Right" and "left" are the patient's: on a frontal radiograph as it is looked at, the right lung
lies on the left side of the image.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from contract.pixels import resize
from contract.quality import Frozen, Limit, Quality, checked

Mask = NDArray[np.bool_]

THRESHOLD = 0.5


class LungFieldLimits(Frozen):
    """The ``framing`` above which lungs are looked for, and how complete they must be at least."""

    doubt: float = Field(ge=0, le=1)
    lower: float = Field(ge=0, le=1)


def lung_mask(probability: NDArray[np.float32], size: tuple[int, int]) -> Mask:
    """Turn a segmenter's output, 0 to 1, into a mask of another (height, width).

    The two largest regions stay, without holes.
    """
    found = probability >= THRESHOLD
    kept = _two_largest(found)
    # What was dropped turns black and what was enclosed white before the outline is drawn finer.
    clean = np.where(kept == found, probability, kept).astype(np.float32)
    mask: Mask = resize(clean, size) >= THRESHOLD
    return mask


def split_lungs(mask: Mask) -> tuple[Mask, Mask]:
    """Tell the right lung from the left one, in a mask from ``lung_mask``."""
    labels = label_regions(mask)
    if labels.max(initial=0) < 2:
        return _split_single(mask)
    columns = np.arange(mask.shape[1])
    # More than two regions go to the side that they lie on.
    centres = [columns[(labels == n).any(axis=0)].mean() for n in range(1, labels.max() + 1)]
    middle = (min(centres) + max(centres)) / 2
    right = np.isin(labels, [n for n, centre in enumerate(centres, 1) if centre <= middle])
    return right, mask & ~right


def completeness(mask: Mask) -> float:
    """Measure how much of two lungs is in the picture.

    1 stands for two of a size that are not cut off, 0 for a missing one.
    A cut makes one lung smaller than the other, or puts its outline on the edge, or both: the ratio
    of their areas, times the share of the outline inside the picture, of that lung of which it is
    less. ``mask`` is at least 2 by 2.
    """
    lungs = split_lungs(mask)
    smaller, larger = sorted(int(lung.sum()) for lung in lungs)
    balance = smaller / larger if larger else 0.0
    return balance * min(map(_inside_share, lungs))


def is_doubtful(quality: Quality, limits: LungFieldLimits) -> bool:
    """Whether an image may show a part of the chest only."""
    return any(check.name == "framing" and check.value > limits.doubt for check in quality.checks)


def with_lung_field(quality: Quality, mask: Mask, limits: LungFieldLimits) -> Quality:
    """Add the check of the lungs to those of an image."""
    limit = Limit(check="lung_field", lower=limits.lower)
    return Quality(checks=(*quality.checks, checked(limit, completeness(mask))))


def share_inside(activation: NDArray[np.float32], mask: Mask) -> float | None:
    """Measure how much of what speaks for a finding lies in the lungs, 0 to 1.

    ``activation`` is one class's map of the image, of any size. None where nothing of it is
    positive, or there is no lung.
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
    # A region smaller than this share of the largest is a stray patch and no lung.
    kept = largest[sizes[largest] >= 0.1 * sizes.max()]
    return without_holes(np.isin(labels, kept + 1))


def _split_single(mask: Mask) -> tuple[Mask, Mask]:
    """One region: both lungs grown together, or a single lung, or none."""
    heights = mask.sum(axis=0)
    occupied = np.flatnonzero(heights)
    if not len(occupied):
        return mask, mask
    first, last = occupied[0], occupied[-1]
    quarter = (last - first + 1) // 4
    middle = heights[first + quarter : last + 1 - quarter]
    cut = first + quarter + int(middle.argmin())
    sides = heights[:cut].max(initial=0), heights[cut:].max(initial=0)
    columns = np.arange(mask.shape[1])
    # Two lungs that have grown together are thin between them.
    if middle.min() <= 0.6 * min(sides):
        right = mask & (columns < cut)
    else:
        right = mask & ((first + last) / 2 < columns.mean())
    return right, mask & ~right


def label_regions(mask: Mask) -> NDArray[np.int64]:
    """Number the regions whose pixels touch side by side or one above the other from 1 up.

    Source: Rosenfeld 1966, Sequential Operations in Digital Picture Processing; by runs of pixels.
    """
    starts = mask & ~np.pad(mask, ((0, 0), (1, 0)))[:, :-1]
    run = np.cumsum(starts).reshape(mask.shape) - 1
    # Where two runs lie one above the other, one of them starts at the first pixel that they share.
    meeting = mask[1:] & mask[:-1] & (starts[1:] | starts[:-1])
    above, below = run[:-1][meeting], run[1:][meeting]
    one, other = np.concatenate([above, below]), np.concatenate([below, above])
    first = np.arange(starts.sum())
    known = first - 1
    # The name of a region is its first run. Each pass hands it on to the runs that touch one of
    # that name, and to the run that these were named by, or a long region would take many passes.
    while (first != known).any():
        known = first.copy()
        np.minimum.at(first, one, known[other])
        np.minimum.at(first, known[one], known[other])
        first = first[first]
    names = np.unique(first, return_inverse=True)[1]
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = names[run[mask]] + 1
    return labels


def without_holes(mask: Mask) -> Mask:
    """Fill what the mask encloses on all sides."""
    # The margin joins all of the outside, also where the mask divides it.
    outside = label_regions(np.pad(~mask, 1, constant_values=True))
    filled: Mask = outside[1:-1, 1:-1] != outside[0, 0]
    return filled
