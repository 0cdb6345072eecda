"""The checks of a report: could the model have learnt a shortcut, and how far does it carry?

Source: Zech 2018, Variable Generalization Performance of a Deep Learning Model to Detect Pneumonia
in Chest Radiographs; DeGrave 2021, AI for Radiographic COVID-19 Detection Selects Shortcuts over
Signal; Maguolo 2021, A Critic Evaluation of Methods for COVID-19 Automatic Detection; Zhang 2018,
Top-Down Neural Attention by Excitation Backprop (the pointing game); Hendrycks 2019, Benchmarking
Neural Network Robustness to Common Corruptions.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contract.errors import ImageError
from contract.findings import Label
from contract.manifest import OOD_SCORE, Metric
from contract.pixels import resize
from contract.preprocessing import PreprocessingSpec
from contract.quality import assess
from training.errors import DataError
from training.evaluation import LEAST_IMAGES
from training.figures import Curve
from training.metrics import Floats, balanced_accuracy, ratio
from training.report.context import CheckResult, EvaluationContext, Images, Masks, Rows
from training.source import read_input
from training.transforms import CORRUPTIONS, Corruption, corrupted

FOLDS = 5
MAX_IMAGES = 1000
MAX_HEATMAPS = 200
MAX_CORRUPTED = 300
# Strong enough that a few hundred images do not fit thousands of features by heart.
INVERSE_PENALTY = 0.1
MAX_ITERATIONS = 2000
PROBE = "source_probe_balanced_accuracy"
CHANCE = "source_probe_chance"
# The share of the height and of the width that is left at each side.
BORDER = 0.1
THUMBNAIL = (32, 32)


def source_probe(context: EvaluationContext) -> CheckResult:
    """Tell the source of an image from the network's pooled features, over all classes and in each.

    Where source and class go together, the probe over all classes also reads the class; within one
    class it can read nothing but the source.
    """
    title = "Can the source be read?"
    rows = context.sample(MAX_IMAGES)
    features = context.features(context.images[rows])
    probed = list(_probe(context, rows, features, None))
    if not probed:
        return CheckResult(title, "All images come from one source: nothing to tell apart.")
    for number, finding in enumerate(context.findings):
        members = context.predictions.classes[rows] == number
        probed += _probe(context, rows[members], features[members], finding.label)
    return CheckResult(
        title,
        "A logistic regression on the network's pooled features names an image's source, over all "
        "classes and within each, beside what guessing gives. What can be read can be used as a "
        "shortcut.",
        tuple(probed),
    )


def border_only(context: EvaluationContext) -> CheckResult:
    """Show the model the border alone, and train a simple learner on the border's pixels alone.

    The learner sees the border of thumbnails, and is asked of images that it was not fitted to.
    """
    rows = context.sample(MAX_IMAGES)
    images = np.asarray(context.images[rows])
    inside = np.broadcast_to(_inside(*images.shape[1:3])[..., np.newaxis], images.shape)
    seen = context.auroc(covered(images, inside), rows, "border_only")
    return CheckResult(
        "What does the border give away?",
        "All but the outer tenth of each side is covered with the mean gray. Hardly any lung "
        "shows there: an AUROC well above 0.5 is read from markers, collimation, framing or "
        "padding. The second figure is of a logistic regression on those pixels alone: what "
        "the border gives away, whether the network uses it or not.",
        (*seen, *_learnt_from_border(context, images, rows)),
    )


def lung_masked(context: EvaluationContext) -> CheckResult:
    """Cover the lungs, and then all but the lungs, with the mean gray of what is covered."""
    title = "What is left without the lungs, and without all else?"
    if context.segment is None:
        return CheckResult(title, "There is no segmenter to find the lungs: not done.")
    rows = context.sample(MAX_IMAGES)
    images = np.asarray(context.images[rows])
    masks = context.segment(images)[..., np.newaxis]
    removed, alone = (
        context.auroc(covered(images, hidden), rows, f"lungs_{name}")
        for name, hidden in (("removed", masks), ("only", ~masks))
    )
    return CheckResult(
        title,
        f"On {len(rows)} images, whose lungs a segmenter has found. Without the lungs little "
        "should be left of the AUROC, though their outline stays visible; with the lungs alone "
        "little should be lost.",
        (*removed, *alone),
    )


def heatmaps(context: EvaluationContext) -> CheckResult:
    """The pointing game, before and after all but the lungs is covered."""
    title = "Do heatmaps point into the lungs?"
    metrics = tuple(_in_the_lungs(context))
    if not metrics:
        return CheckResult(title, "There is no segmenter, or there are too few images: not done.")
    return CheckResult(
        title,
        "Of images that truly have the finding: the share of the activation inside the lungs "
        "and how often the strongest place is there, on the whole image and with all but the "
        "lungs covered, beside what an even map would get. A map that does not follow the "
        "lungs must not be read as showing disease.",
        metrics,
    )


def robustness(context: EvaluationContext) -> CheckResult:
    """Ask the model, and its quality gate, of at most 300 images at every level of corruptions."""
    rows = context.sample(MAX_CORRUPTED)
    images = np.asarray(context.images[rows])
    panels = [(c.axis, _curves(context, c, images, rows)) for c in CORRUPTIONS]
    # The level at which the AUROC is lowest goes on the card.
    lowest = [
        min(found, key=lambda m: m.value)
        for _, curves in panels
        for name, _, found in curves
        if name == "AUROC"
    ]
    return CheckResult(
        "How far does it fall when images get worse?",
        "The AUROC, and the share that the quality gate refuses, with 95 % intervals; the table "
        "has the level of each corruption at which the AUROC is lowest.",
        tuple(lowest),
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
    """The share beyond the limit of the score: of the images, and of each kind in the folder."""
    title = "Does it notice images out of distribution?"
    if context.ood is None:
        return CheckResult(title, "The model has no out-of-distribution score: not done.")

    def beyond(images: Images) -> np.ndarray:
        return context.predict(images)[OOD_SCORE] > np.float32(context.ood.limit)

    rows = np.arange(len(context.images))
    own = context.mean("unfamiliar_refused", rows, beyond(context.images))
    given = []
    for kind, images in _kinds(context.ood_folder, context.spec) if context.ood_folder else ():
        # Nobody knows the patients of these images, if they have any: a Wilson interval.
        caught = binomtest(int(beyond(images).sum()), len(images))
        interval = caught.proportion_ci(method="wilson")
        given.append(
            Metric(
                dataset="unfamiliar images",
                name=f"strange_{re.sub(r'[^a-z0-9]+', '_', kind.lower()).strip('_')}_caught",
                images=len(images),
                value=caught.statistic,
                lower=interval.low,
                upper=interval.high,
            )
        )
    return CheckResult(
        title,
        f"The score refuses {own.value:.1%} of the evaluated images; the table has what it catches "
        "of the images that it should refuse, kind by kind, where a folder of them was given.",
        (own, *given),
    )


def covered(images: Images, hidden: Masks) -> Images:
    """Paint the hidden places of images in their mean gray over all, so that it says nothing."""
    gray = np.uint8(round(float(images[hidden].mean()))) if hidden.any() else np.uint8(0)
    return np.where(hidden, gray, images)


def cross_validated(
    inputs: NDArray[np.float32], targets: NDArray[np.int64], groups: NDArray[np.str_], seed: int
) -> NDArray[np.float64]:
    """Fit a logistic regression to all groups but a fifth, and ask it of that fifth, five times.

    Each target must have five groups or more; the probabilities have the shape (images, targets).
    """
    learner = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=MAX_ITERATIONS),
    )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    return cross_val_predict(
        learner, inputs, targets, groups=groups, cv=folds, method="predict_proba"
    )


def with_enough_groups(targets: NDArray[np.generic], groups: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which images have a target that every fold of a cross-validation can have a part of."""
    several = [t for t in np.unique(targets) if len(np.unique(groups[targets == t])) >= FOLDS]
    return np.isin(targets, several)


def activation_inside(maps: NDArray[np.float32], masks: Masks) -> tuple[Floats, Floats]:
    """Where the positive activation of maps, (images, rows, columns), lies: in masks or beside.

    The share of each map's positive activation inside the mask, 0 to 1, and whether the map is
    strongest there, 0 or 1; not a number where nothing is positive.
    """
    fitted = np.stack([resize(plane, masks.shape[1:3]) for plane in maps])
    positive = np.maximum(fitted, 0).reshape(len(maps), -1).astype(np.float64)
    inside, total = masks.reshape(len(masks), -1), positive.sum(axis=1)
    strongest = inside[np.arange(len(maps)), positive.argmax(axis=1)].astype(np.float64)
    return ratio((positive * inside).sum(axis=1), total), np.where(total > 0, strongest, np.nan)


def _probe(
    context: EvaluationContext, rows: Rows, features: NDArray[np.float32], label: Label | None
) -> Iterator[Metric]:
    sources, groups = context.predictions.sources[rows], context.groups[rows]
    used = with_enough_groups(sources, groups)
    names, targets = np.unique(sources[used], return_inverse=True)
    if len(names) < 2:
        return
    said = cross_validated(features[used], targets, groups[used], context.seed).argmax(axis=1)
    found = context.estimated(
        PROBE, rows[used], lambda weights: balanced_accuracy(said, targets, weights), label
    )
    chance = 1 / len(names)
    yield found
    yield found.model_copy(
        update={"name": CHANCE} | dict.fromkeys(("value", "lower", "upper"), chance)
    )


def _inside(height: int, width: int) -> Masks:
    """All but the outer tenth of each side, bool, shape (height, width)."""
    inside = np.zeros((height, width), dtype=bool)
    rows, columns = (max(1, round(BORDER * side)) for side in (height, width))
    inside[rows:-rows, columns:-columns] = True
    return inside


def _learnt_from_border(
    context: EvaluationContext, images: Images, rows: Rows
) -> tuple[Metric, ...]:
    classes, groups = context.predictions.classes[rows], context.groups[rows]
    used = with_enough_groups(classes, groups)
    labels, truth = np.unique(classes[used], return_inverse=True)
    if len(labels) < 2:
        return ()
    small = np.stack([resize(image[..., 0], THUMBNAIL) for image in images[used]])
    pixels = small[:, ~_inside(*THUMBNAIL)].astype(np.float32)
    scores = cross_validated(pixels, truth, groups[used], context.seed)
    names = [context.findings[number].label for number in labels]
    return context.separation("border_pixels", rows[used], scores, truth, names)


def _in_the_lungs(context: EvaluationContext) -> Iterator[Metric]:
    if context.segment is None:
        return
    rows = context.sample(MAX_IMAGES)
    masks = context.segment(np.asarray(context.images[rows]))
    found = masks.any(axis=(1, 2))
    rows, masks = rows[found], masks[found]
    for number, finding in enumerate(context.findings):
        members = np.flatnonzero(context.predictions.classes[rows] == number)
        if context.positive not in {None, finding.label} or len(members) < LEAST_IMAGES:
            continue
        # From the whole list: its first ones may all be of one source.
        members = members[:: -(-len(members) // MAX_HEATMAPS)]
        chosen, inside = rows[members], masks[members]
        images = np.asarray(context.images[chosen])
        alone = covered(images, ~inside[..., np.newaxis])
        values = {"even_map_inside": inside.mean(axis=(1, 2))}
        for shown, suffix in ((images, ""), (alone, "_lungs_only")):
            maps = context.predict(shown)["activation_map"][..., number]
            values[f"inside{suffix}"], values[f"pointing{suffix}"] = activation_inside(maps, inside)
        for name, measured in values.items():
            usable = np.isfinite(measured)
            if usable.any():
                yield context.mean(
                    f"heatmap_{name}", chosen[usable], measured[usable], finding.label
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
