"""How far a model carries: under corruptions, and on images out of distribution.

``training.transforms`` has the corruptions that the quality gate is fitted to.

Source: Hendrycks 2019, Benchmarking Neural Network Robustness to Common Corruptions.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from contract.errors import ImageError
from contract.manifest import OOD_SCORE, Metric
from contract.preprocessing import PreprocessingSpec
from contract.quality import assess
from training.errors import DataError
from training.figures import Curve
from training.image_cache import read_input
from training.metrics import share_of_independent
from training.report.context import CheckResult, EvaluationContext, Images, Rows
from training.transforms import CORRUPTIONS, Corruption, corrupted

MAX_IMAGES = 300


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
    """The share beyond the limit of the score: of the images, and of each kind in the folder.

    Raises:
        DataError: The folder has no images.
    """
    title = "Does it notice images out of distribution?"
    if context.ood is None:
        return CheckResult(title, "The model has no out-of-distribution score: not done.")

    def beyond(images: Images) -> np.ndarray:
        return context.predict(images)[OOD_SCORE] > np.float32(context.ood.limit)

    rows = np.arange(len(context.images))
    own = context.mean("unfamiliar_refused", rows, beyond(context.images))
    given = []
    for kind, images in _kinds(context.ood_folder, context.spec) if context.ood_folder else ():
        # Nobody knows the patients of these images, if they have any.
        caught = share_of_independent(int(beyond(images).sum()), len(images))
        name = f"strange_{re.sub(r'[^a-z0-9]+', '_', kind.lower()).strip('_')}_caught"
        given.append(
            Metric(dataset="unfamiliar images", name=name, images=len(images), **caught._asdict())
        )
    return CheckResult(
        title,
        f"The score refuses {own.value:.1%} of the evaluated images; the table has what it catches "
        "of the images that it should refuse, kind by kind, where a folder of them was given.",
        (own, *given),
    )


def _kinds(folder: Path, spec: PreprocessingSpec) -> Iterator[tuple[str, Images]]:
    """The images of each folder in the folder; what cannot be read the service refuses too."""
    found: dict[str, list[Images]] = {}
    for file in sorted(file for file in folder.glob("*/**/*") if file.is_file()):
        with suppress(ImageError):
            image = read_input(file, spec)
            found.setdefault(file.relative_to(folder).parts[0], []).append(image)
    if not found:
        raise DataError(f"{folder} has no images. Give a folder with one folder for each kind.")
    return ((kind, np.stack(images)) for kind, images in found.items())


def _curves(
    context: EvaluationContext, corruption: Corruption, images: Images, rows: Rows
) -> list[Curve]:
    figures: dict[str, list[Metric]] = {}
    for level in corruption.levels:
        random = np.random.default_rng(context.seed)
        changed = corrupted(images, corruption, level, random)
        prefix = f"under_{corruption.name}_{level:g}"
        for found in context.auroc(changed, rows, prefix):
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
    return context.mean(name, rows, ~np.array(accepted))
