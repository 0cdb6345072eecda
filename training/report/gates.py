"""The two gates before an answer: what they let through, and what they catch."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from contract.manifest import OOD_SCORE, Metric
from training.metrics import Floats, Weights, share_of_independent
from training.ood.unfamiliar import made_up
from training.quality_report import GatedModel, draw_quality, report_quality
from training.report.checks import Check, Outcome
from training.report.material import Images, Material, Rows

# Each fault in each amount is one more pass over the images.
MAX_IMAGES = 200


def quality_gate(material: Material) -> Outcome:
    """The share of the images that the quality gate refuses, as they are and with a fault."""
    if material.quality is None:
        return Outcome(summary="The model has no limits of quality: not done.")
    rows = material.sample(MAX_IMAGES)
    report = report_quality(
        GatedModel(
            predict=lambda images: material.predict(images)["probabilities"],
            limits=material.quality,
            images=material.images[rows],
            classes=material.predictions.classes[rows],
            patients=material.predictions.patients[rows],
        ),
        material.seed,
    )
    if material.quality_plot is not None:
        draw_quality(material.quality_plot, report)
    harmful = [level for fault in report.faults for level in fault.harmful(report.accuracy.value)]
    least = min((level.caught.value for level in harmful), default=float("nan"))
    return Outcome(
        summary=(
            f"Of {len(rows)} images as they are the gate refuses {report.refused.value:.1%}. Of "
            f"the {len(harmful)} faults that cost the model ten points of accuracy or more it "
            f"catches at least {least:.1%}."
        ),
        metrics=(report.refused.metric(material.dataset, "quality_refused", len(rows)),),
        details=tuple(
            level.caught.metric(
                material.dataset, f"quality_caught_{fault.name}_{level.level:g}", len(rows)
            )
            for fault in report.faults
            for level in fault.levels
        ),
    )


def unfamiliar(material: Material) -> Outcome:
    """The share of the images that count as unfamiliar, and of pictures that show no chest."""
    if material.familiar is None:
        return Outcome(summary="The model has no out-of-distribution score: not done.")
    limit = np.float32(material.familiar.limit)

    def beyond(images: Images) -> NDArray[np.bool_]:
        return material.predict(images)[OOD_SCORE] > limit

    refused = beyond(material.images)
    every: Rows = np.arange(len(refused))
    own = material.estimated("unfamiliar_refused", every, lambda weights: _share(weights, refused))
    caught = {kind: beyond(images) for kind, images in made_up(material.spec).items()}
    total = np.concatenate(list(caught.values())).mean()
    return Outcome(
        summary=(
            f"{own.value:.1%} of the images are taken for unfamiliar, and {total:.1%} of pictures "
            f"that show no patient's chest: {', '.join(caught)}."
        ),
        metrics=(own, *_of_kinds(caught)),
    )


def _of_kinds(caught: dict[str, NDArray[np.bool_]]) -> Iterator[Metric]:
    for kind, found in caught.items():
        # Each picture is drawn on its own, so there are no patients to resample.
        yield share_of_independent(int(found.sum()), len(found)).metric(
            "pictures that show no patient's chest",
            f"unfamiliar_caught_{kind.replace(' ', '_')}",
            len(found),
        )


def _share(weights: Weights, chosen: NDArray[np.bool_]) -> Floats:
    return (weights @ chosen) / weights.sum(axis=1)


GATES = (
    Check("quality-gate", "What does the quality gate refuse?", quality_gate),
    Check("unfamiliar", "Does it notice what it does not know?", unfamiliar),
)
