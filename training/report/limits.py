"""How far a model carries: under corruptions, on images out of distribution, and if it may abstain.

``training.transforms`` has the corruptions that the quality gate is fitted to; three more are
what a file goes through on its way.

Source: Hendrycks 2019, Benchmarking Neural Network Robustness to Common Corruptions.
"""

import re
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from contract.manifest import OOD_SCORE, Metric
from contract.pixels import resize
from contract.quality import assess
from training import transforms
from training.conformal import COVERAGE, coverage_points, measure_coverage
from training.errors import CalibrationError
from training.evaluation import LEAST_IMAGES
from training.metrics import ratio, share_of_independent
from training.ood_images import made_up, read_ood_images
from training.report.checks import Check, CheckResult, Point
from training.report.context import EvaluationContext, Images, Rows
from training.transforms import Corruption

MAX_IMAGES = 300
DRAWN = "pictures that show no patient's chest"
Plane = NDArray[np.uint8]


def exposed(plane: Plane, gamma: float, _random: Generator) -> Plane:
    """Raise the grays, as shares of white, to a power: above 1 is darker."""
    return np.rint(255 * np.linspace(0, 1, 256) ** gamma).astype(np.uint8)[plane]


def _as_jpeg(plane: Plane, quality: float, _random: Generator) -> Plane:
    return transforms.recompressed(plane, int(quality))


def coarsened(plane: Plane, share: float, _random: Generator) -> Plane:
    """Shrink to that share of the sides, and enlarge again."""
    height, width = plane.shape
    small = resize(plane, (max(1, round(share * height)), max(1, round(share * width))))
    return resize(small, (height, width))


# Each with the level at which an image stays as it is.
COURSES = (
    *((corruption, 0.0) for corruption in transforms.CORRUPTIONS),
    (Corruption("gamma", "Gamma (above 1: darker)", (0.4, 0.7, 1.5, 2.5), exposed), 1.0),
    (Corruption("jpeg", "JPEG quality (100: none)", (5, 10, 25, 50), _as_jpeg), 100.0),
    (Corruption("resolution", "Resolution, share of side", (0.1, 0.2, 0.5), coarsened), 1.0),
)


def under_corruption(
    corruption: Corruption, identity: float, context: EvaluationContext
) -> CheckResult:
    """Ask the model, and its quality gate, of the same images at every level of a corruption.

    Args:
        corruption: What is done to at most 300 images.
        identity: The level at which an image stays as it is.
        context: The images and the model.
    """
    rows = context.sample(MAX_IMAGES)
    images = np.asarray(context.images[rows])
    levels = sorted((identity, *corruption.levels))
    points = []
    for level in levels:
        changed, said = images, context.predictions.of(rows)
        if level != identity:
            random = np.random.default_rng(context.seed)
            changed = transforms.corrupted(images, corruption, level, random)
            said = context.answers_to(changed, rows)
        prefix = f"under_{corruption.name}_{level:g}"
        *aurocs, accuracy = context.figures(said, prefix)
        refused = _refused_by_quality(context, changed, rows, f"{prefix}_refused")
        auroc = aurocs[0] if aurocs else None
        points.append(Point(level=level, auroc=auroc, accuracy=accuracy, refused=refused))
    return CheckResult(
        summary=_compared(points[levels.index(identity)], points),
        metrics=tuple(point.auroc for point in [_worst(points)] if point.auroc),
        points=tuple(points),
        axis=corruption.axis,
    )


def quality_gate(context: EvaluationContext) -> CheckResult:
    """The share of the images, as they are, that the quality gate refuses."""
    rows: Rows = np.arange(len(context.images))
    refused = _refused_by_quality(context, context.images, rows, "quality_refused")
    if refused is None:
        return CheckResult(summary="The model has no limits of quality: not done.")
    return CheckResult(
        summary=f"Of {len(rows)} images as they are the gate refuses {refused.value:.1%}; below is "
        "what it refuses of corrupted ones.",
        metrics=(refused,),
    )


def out_of_distribution(context: EvaluationContext) -> CheckResult:
    """The share of the images beyond the limit of the score, and of images that show no chest."""
    if context.ood is None:
        return CheckResult(summary="The model has no out-of-distribution score: not done.")
    limit = np.float32(context.ood.limit)

    def share_beyond(dataset: str, name: str, images: Images) -> Metric:
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
        share_beyond(DRAWN, f"unfamiliar_caught_{_identifier(kind)}", images)
        for kind, images in made_up(context.spec).items()
    ]
    folder = context.ood_folder
    given = [
        share_beyond("unfamiliar images", f"strange_{_identifier(kind)}_caught", images)
        for kind, images in (read_ood_images(folder, context.spec) if folder else {}).items()
    ]
    caught = [f"{_together(drawn):.1%} of {DRAWN}"]
    caught += [f"{_together(given):.1%} of the images in the given folder"] if given else []
    return CheckResult(
        summary=f"The score refuses {own.value:.1%} of the evaluated images, {', '.join(caught)}.",
        metrics=(own, *drawn, *given),
    )


def conformal(context: EvaluationContext) -> CheckResult:
    """Prediction sets that promise to hold the truth, chosen on the validation images."""
    if context.validation is None:
        return CheckResult(
            summary="There are no validation images to choose the sets on: not done."
        )
    probabilities, classes = context.validation()
    labels = [finding.label for finding in context.findings]
    try:
        points = coverage_points(probabilities, classes, labels)
    except CalibrationError as error:
        return CheckResult(summary=f"{error} Not done.")
    metrics = measure_coverage(
        context.predictions, points, labels, dataset=context.dataset, seed=context.seed
    )
    found = {m.name: m.value for m in metrics if m.label is None and m.source is None}
    wrong = found.get("conformal_error_answered")
    chosen = ", ".join(f"{la} {point:.3f}" for la, point in zip(labels, points, strict=True))
    answered = "Nothing is answered." if wrong is None else f"Of the others {wrong:.1%} are wrong."
    return CheckResult(
        summary=(
            "Split conformal prediction, class by class on the validation images, promises that "
            f"the true class is in an image's set for {COVERAGE:.0%}; here it is for "
            f"{found['conformal_coverage']:.1%}. An image that a gate stops, or whose set has not "
            f"exactly one class, is referred: {found['conformal_refer_share']:.1%}. {answered} "
            "These points are not the operating points, which keep to the recipe's rules. "
            f"Points: {chosen}.{_small_sources(context)}"
        ),
        metrics=metrics,
    )


def _refused_by_quality(
    context: EvaluationContext, images: Images, rows: Rows, name: str
) -> Metric | None:
    if context.quality is None:
        return None
    # An array is assessed for what it shows; the shape and size of the file are not at issue.
    accepted = [assess(image, *image.shape[:2], context.quality).accepted for image in images]
    refused = ~np.array(accepted)
    return context.estimated(name, rows, lambda w: ratio(w @ refused, w.sum(axis=1)))


def _worst(points: list[Point]) -> Point:
    return min(points, key=lambda point: point.auroc.value if point.auroc else 1)


def _compared(unchanged: Point, points: list[Point]) -> str:
    worst = _worst(points)
    if unchanged.auroc is None or worst.auroc is None:
        return "The images are of one class."
    gate = f" The quality gate refuses {worst.refused.value:.0%} there." if worst.refused else ""
    return (
        f"AUROC {unchanged.auroc.value:.3f} unchanged, {worst.auroc.value:.3f} at the worst level, "
        f"{worst.level:g}.{gate}"
    )


def _identifier(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", kind.lower()).strip("_")


def _together(metrics: list[Metric]) -> float:
    return sum(m.value * m.images for m in metrics) / sum(m.images for m in metrics)


def _small_sources(context: EvaluationContext) -> str:
    names, counts = np.unique(context.predictions.sources, return_counts=True)
    few = [f"{n} ({c})" for n, c in zip(names, counts, strict=True) if c < LEAST_IMAGES]
    if not few or len(names) < 2:
        return ""
    return f" With fewer than {LEAST_IMAGES} images, so without figures: {', '.join(few)}."


def _corruption_checks() -> Iterator[Check]:
    """A check for each corruption, so that a killed report loses one of them at most."""
    for corruption, identity in COURSES:
        run = partial(under_corruption, corruption, identity)
        yield Check(f"robustness-{corruption.name}", corruption.axis, run)


LIMITS = (
    Check("conformal", "Are the prediction sets as good as their promise?", conformal),
    Check("quality-gate", "What does the quality gate refuse?", quality_gate),
    Check("unfamiliar", "Does it notice images out of distribution?", out_of_distribution),
    *_corruption_checks(),
)
