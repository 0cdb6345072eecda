"""What a model still knows when the lungs, or all but the border, are taken out of the image.

Source: DeGrave 2021, AI for Radiographic COVID-19 Detection Selects Shortcuts over Signal; Maguolo
2021, A Critic Evaluation of Methods for COVID-19 Automatic Detection from X-Ray Images.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.manifest import Metric
from contract.pixels import resize
from training.metrics import auroc, macro_auroc
from training.report.checks import Outcome
from training.report.material import Images, Material, Rows
from training.report.probes import cross_validated, with_enough_groups

MAX_IMAGES = 1000
# The share of the height and of the width that is left at each side.
BORDERS = (0.05, 0.1, 0.15)
REPORTED_BORDER = 0.1
THUMBNAIL = (32, 32)


def border_only(material: Material) -> Outcome:
    """Show the model the border alone, and train a simple learner on the border's pixels alone.

    The inside gets the mean gray that the images have there. The learner sees the border of
    thumbnails of 32 x 32 pixels, and is asked of images that it was not fitted to.
    """
    rows = material.sample(MAX_IMAGES)
    images = np.asarray(material.images[rows])
    seen = {
        share: material.figures(
            material.answers_to(_with_border_only(images, share), rows),
            "border_only" if share == REPORTED_BORDER else f"border_of_{share * 100:.0f}_percent",
        )
        for share in BORDERS
    }
    learnt = _learnt_from_border(material, images, rows)
    whole = material.figures(material.predictions.of(rows), "whole_image")
    others = [metric for share in BORDERS if share != REPORTED_BORDER for metric in seen[share]]
    return Outcome(
        summary=(
            "All but the outer tenth of each side is covered with the mean gray. Hardly any lung "
            "shows there: an AUROC well above 0.5 is read from markers, collimation, framing or "
            "padding. The second figure is of a logistic regression on those pixels alone: what "
            "the border gives away, whether the network uses it or not."
        ),
        metrics=(*_aurocs(seen[REPORTED_BORDER]), *learnt),
        details=(*_aurocs(whole), *_aurocs(others)),
    )


def lung_masked(material: Material) -> Outcome:
    """Cover the lungs, and then all but the lungs, with the mean gray of what is covered."""
    lungs = material.lungs()
    if not len(lungs.rows):
        return Outcome(summary="There is no lung mask for any of these images: not done.")
    images, masks = np.asarray(material.images[lungs.rows]), lungs.masks[..., np.newaxis]
    figures = {
        name: material.figures(
            material.answers_to(_covered(images, covered), lungs.rows), f"lungs_{name}"
        )
        for name, covered in (("removed", masks), ("only", ~masks))
    }
    return Outcome(
        summary=(
            f"On {len(lungs.rows)} images with lung masks, of the data set or of a segmenter. "
            "Without the lungs little should be left of the AUROC, though their outline stays "
            "visible; with the lungs alone little should be lost."
        ),
        metrics=(*_aurocs(figures["removed"]), *_aurocs(figures["only"])),
        details=(
            *material.figures(material.predictions.of(lungs.rows), "whole_image"),
            *figures["removed"],
            *figures["only"],
        ),
    )


def _aurocs(metrics: Sequence[Metric]) -> list[Metric]:
    """The accuracy of a model that sees nothing is the share of its favourite class."""
    return [metric for metric in metrics if metric.name.endswith("auroc")]


def _with_border_only(images: Images, share: float) -> Images:
    """The same images, with one gray in all places but the border."""
    inside = np.zeros((*images.shape[1:3], 1), dtype=bool)
    rows, columns = (max(1, round(share * side)) for side in images.shape[1:3])
    inside[rows:-rows, columns:-columns] = True
    return _covered(images, np.broadcast_to(inside, images.shape))


def _covered(images: Images, covered: NDArray[np.bool_]) -> Images:
    """Paint the covered places in their mean gray over all images, so that it says nothing."""
    gray = np.uint8(round(float(images[covered].mean()))) if covered.any() else np.uint8(0)
    return np.where(covered, gray, images)


def _learnt_from_border(material: Material, images: Images, rows: Rows) -> tuple[Metric, ...]:
    classes, groups = material.predictions.classes[rows], material.groups[rows]
    used = with_enough_groups(classes, groups)
    truth = classes[used]
    labels = [finding.label for finding in material.findings]
    positive = None if material.positive is None else labels.index(material.positive)
    present = np.unique(truth)
    if len(present) < 2 or positive not in {None, *present.tolist()}:
        return ()
    pixels = _border_pixels(images[used])
    scores = cross_validated(pixels, truth, groups[used], len(labels), material.seed)
    if positive is None:
        figure = material.estimated(
            "border_pixels_macro_auroc",
            rows[used],
            lambda weights: macro_auroc(scores, truth, weights),
        )
    else:
        figure = material.estimated(
            "border_pixels_auroc",
            rows[used],
            lambda weights: auroc(scores[:, positive], truth == positive, weights),
        )
    return (figure,)


def _border_pixels(images: Images) -> NDArray[np.float32]:
    """The grays of each thumbnail's border, float32, shape (images, pixels)."""
    small = np.stack([resize(image[..., 0], THUMBNAIL) for image in images])
    inside = np.zeros(THUMBNAIL, dtype=bool)
    width = round(REPORTED_BORDER * THUMBNAIL[0])
    inside[width:-width, width:-width] = True
    return small[:, ~inside].astype(np.float32)
