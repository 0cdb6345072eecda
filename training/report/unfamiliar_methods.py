"""The served score of unfamiliar images beside other ways of telling them."""

import re
from collections.abc import Iterator, Sequence

from contract.manifest import Metric
from training.ood_report import ALL, SERVED, Detection
from training.report.checks import Check, Outcome
from training.report.material import Material


def unfamiliar_methods(material: Material) -> Outcome:
    """Several methods on each kind of unfamiliar images, of one's own folder and made up."""
    if material.detections is None:
        return Outcome(summary="No folder of unfamiliar images was given: not done.")
    detections = material.detections()
    best = max(_together(detections), key=lambda row: (row.caught, row.auroc))
    [served] = [row for row in _together(detections) if row.method == SERVED]
    return Outcome(
        summary=(
            "Each method is fitted on the training images and has the limit that 99% of the "
            "validation images keep, under all shifts. AUROC against those, and the share beyond "
            f"the limit. Of all {served.images} unfamiliar images the served score catches "
            f"{served.caught:.1%}; the best here, {best.method}, {best.caught:.1%}."
        ),
        metrics=tuple(_metrics(detections)),
        detections=detections,
    )


def _together(detections: Sequence[Detection]) -> list[Detection]:
    return [row for row in detections if row.kind == ALL]


def _metrics(detections: Sequence[Detection]) -> Iterator[Metric]:
    """What the served score catches."""
    for row in detections:
        if row.method == SERVED and not row.familiar:
            kind = re.sub(r"[^a-z0-9]+", "_", row.kind.lower()).strip("_")
            yield Metric(
                dataset="unfamiliar images",
                name=f"strange_{kind}_caught",
                value=row.caught,
                lower=row.lower,
                upper=row.upper,
                images=row.images,
            )


UNFAMILIAR_METHODS = (
    Check("unfamiliar-methods", "Would another score of the unfamiliar do it?", unfamiliar_methods),
)
