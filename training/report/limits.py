"""How far a model carries: under corruptions, and on images out of distribution.

``training.transforms`` has the corruptions that the quality gate is fitted to.

Source: Hendrycks 2019, Benchmarking Neural Network Robustness to Common Corruptions.
"""

import re

import numpy as np

from contract.manifest import OOD_SCORE, Metric
from contract.quality import assess
from training.figures import Curve
from training.metrics import ratio, share_of_independent
from training.ood_images import made_up, read_ood_images
from training.report.context import CheckResult, EvaluationContext, Images, Rows
from training.transforms import CORRUPTIONS, Corruption, corrupted

MAX_IMAGES = 300
DRAWN = "pictures that show no patient's chest"


def robustness(context: EvaluationContext) -> CheckResult:
    """Ask the model, and its quality gate, of at most 300 images at every level of corruptions."""
    rows = context.sample(MAX_IMAGES)
    images = np.asarray(context.images[rows])
    metrics: list[Metric] = []
    panels: list[tuple[str, list[Curve]]] = []
    for corruption in CORRUPTIONS:
        curves = _curves(context, corruption, images, rows)
        panels.append((corruption.axis, curves))
        # The level at which the AUROC is lowest goes on the card.
        metrics += [
            min(found, key=lambda m: m.value) for name, _, found in curves if name == "AUROC"
        ]
    return CheckResult(
        "How far does it fall when images get worse?",
        "The AUROC, and the share that the quality gate refuses, with 95 % intervals; the table "
        "has the level of each corruption at which the AUROC is lowest.",
        tuple(metrics),
        tuple(panels),
    )


def quality_gate(context: EvaluationContext) -> CheckResult:
    """The share of the images, as they are, that the quality gate refuses."""
    title = "What does the quality gate refuse?"
    if context.quality is None:
        return CheckResult(title, "The model has no limits of quality: not done.")
    rows = np.arange(len(context.images))
    refused = _refused_by_quality(context, context.images, rows, "quality_refused")
    return CheckResult(
        title,
        f"Of {len(rows)} images as they are the gate refuses {refused.value:.1%}.",
        (refused,),
    )


def out_of_distribution(context: EvaluationContext) -> CheckResult:
    """The share of the images beyond the limit of the score, and of images that show no chest."""
    title = "Does it notice images out of distribution?"
    if context.ood is None:
        return CheckResult(title, "The model has no out-of-distribution score: not done.")
    limit, folder = np.float32(context.ood.limit), context.ood_folder

    def caught(dataset: str, name: str, images: Images) -> Metric:
        # Nobody knows the patients of these images, if they have any.
        beyond = context.predict(images)[OOD_SCORE] > limit
        share = share_of_independent(int(beyond.sum()), len(beyond))
        return share.metric(dataset, name, len(beyond))

    refused = context.predict(context.images)[OOD_SCORE] > limit
    own = context.estimated(
        "unfamiliar_refused",
        np.arange(len(refused)),
        lambda weights: ratio(weights @ refused, weights.sum(axis=1)),
    )
    drawn = [
        caught(DRAWN, f"unfamiliar_caught_{_identifier(kind)}", images)
        for kind, images in made_up(context.spec).items()
    ]
    given = [
        caught("unfamiliar images", f"strange_{_identifier(kind)}_caught", images)
        for kind, images in (read_ood_images(folder, context.spec) if folder else {}).items()
    ]
    return CheckResult(
        title,
        f"The score refuses {own.value:.1%} of the evaluated images; the table has what it catches "
        f"of {DRAWN}, kind by kind.",
        (own, *drawn, *given),
    )


def _curves(
    context: EvaluationContext, corruption: Corruption, images: Images, rows: Rows
) -> list[Curve]:
    figures: dict[str, list[Metric]] = {}
    for level in corruption.levels:
        random = np.random.default_rng(context.seed)
        changed = corrupted(images, corruption, level, random)
        prefix = f"under_{corruption.name}_{level:g}"
        for found in context.auroc(context.answers_to(changed, rows), prefix):
            figures.setdefault("AUROC", []).append(found)
        if context.quality is not None:
            refused = _refused_by_quality(context, changed, rows, f"{prefix}_refused")
            figures.setdefault("Refused by the quality gate", []).append(refused)
    return [(name, corruption.levels, found) for name, found in figures.items()]


def _refused_by_quality(
    context: EvaluationContext, images: Images, rows: Rows, name: str
) -> Metric:
    # An array is assessed for what it shows; the shape and size of the file are not at issue.
    accepted = [assess(image, *image.shape[:2], context.quality).accepted for image in images]
    refused = ~np.array(accepted)
    return context.estimated(name, rows, lambda w: ratio(w @ refused, w.sum(axis=1)))


def _identifier(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", kind.lower()).strip("_")
