"""Could the model have learnt a shortcut: the source, the border, whatever is not the lungs?

Source: Zech 2018, Variable Generalization Performance of a Deep Learning Model to Detect Pneumonia
in Chest Radiographs; DeGrave 2021, AI for Radiographic COVID-19 Detection Selects Shortcuts over
Signal; Maguolo 2021, A Critic Evaluation of Methods for COVID-19 Automatic Detection; Zhang 2018,
Top-Down Neural Attention by Excitation Backprop (the pointing game).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contract.findings import Label
from contract.manifest import Metric
from contract.pixels import resize
from training.evaluation import LEAST_IMAGES
from training.metrics import Floats, balanced_accuracy, ratio
from training.report.context import CheckResult, EvaluationContext, Images, Masks, Rows

FOLDS = 5
MAX_IMAGES = 1000
MAX_HEATMAPS = 200
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

    The inside gets the mean gray that the images have there. The learner sees the border of
    thumbnails of 32 x 32 pixels, and is asked of images that it was not fitted to.
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


def covered(images: Images, hidden: Masks) -> Images:
    """Paint the hidden places in their mean gray over all images, so that it says nothing.

    Args:
        images: uint8, shape (images, height, width, 1).
        hidden: bool, the same shape.
    """
    gray = np.uint8(round(float(images[hidden].mean()))) if hidden.any() else np.uint8(0)
    return np.where(hidden, gray, images)


def cross_validated(
    inputs: NDArray[np.float32], targets: NDArray[np.int64], groups: NDArray[np.str_], seed: int
) -> NDArray[np.float64]:
    """Fit a logistic regression to all groups but a fifth, and ask it of that fifth, five times.

    Args:
        inputs: Shape (images, features).
        targets: int, shape (images,), each with at least five groups.
        groups: The group of each image, shape (images,).
        seed: Of the folds.

    Returns:
        Probabilities, shape (images, different targets).
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
    """Which images have a target that every fold of a cross-validation can have a part of.

    Returns:
        bool, shape (images,).
    """
    several = [t for t in np.unique(targets) if len(np.unique(groups[targets == t])) >= FOLDS]
    return np.isin(targets, several)


def activation_inside(maps: NDArray[np.float32], masks: Masks) -> tuple[Floats, Floats]:
    """Where the positive activation lies.

    Args:
        maps: float32, shape (images, rows, columns).
        masks: bool, shape (images, height, width).

    Returns:
        The share of each map's positive activation inside the mask, 0 to 1, and whether the map is
        strongest there, 0 or 1. Shape (images,); not a number where nothing is positive.
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
