"""Whether heatmaps lie in the lungs, and come from what was learnt.

Source: Zhang 2018, Top-Down Neural Attention by Excitation Backprop (the pointing game); Adebayo
2018, Sanity Checks for Saliency Maps; Saporta 2022, Benchmarking Saliency Methods for Chest X-ray
Interpretation.
"""

from collections.abc import Iterator
from typing import Literal

import keras
import numpy as np
from numpy.typing import NDArray

from contract.findings import Label
from contract.lungs import fit_map
from contract.manifest import Metric
from training.evaluation import LEAST_IMAGES
from training.metrics import Floats, ratio
from training.models import with_serving_outputs
from training.report.checks import Check, CheckResult
from training.report.context import EvaluationContext, Masks, Rows
from training.report.shortcuts import covered
from training.severity import rank_correlation

MAX_IMAGES = 200
# Each is looked at by eleven networks.
MAX_SHUFFLED = 48
# One shuffle may by chance look like the trained weights; several do not.
SHUFFLES = 5

Maps = NDArray[np.float32]
Part = Literal["head", "all"]


def heatmaps(context: EvaluationContext) -> CheckResult:
    """The pointing game, before and after all but the lungs is covered, and shuffled weights."""
    metrics = [*_in_the_lungs(context), *_with_shuffled_weights(context)]
    if not metrics:
        return CheckResult(summary="There are neither lung masks nor the weights: not done.")
    return CheckResult(
        summary=(
            "Of images that truly have the finding: the share of the activation inside the lungs "
            "and how often the strongest place is there, on the whole image and with all but the "
            "lungs covered, beside what an even map would get. A map that does not follow the "
            "lungs must not be read as showing disease. With shuffled weights the map should "
            "change: 1 is no change at all."
        ),
        metrics=tuple(metrics),
    )


def activation_inside(maps: Maps, masks: Masks) -> tuple[Floats, Floats]:
    """Where the positive activation lies.

    Args:
        maps: float32, shape (images, rows, columns).
        masks: bool, shape (images, height, width).

    Returns:
        The share of each map's positive activation inside the mask, 0 to 1, and whether the map is
        strongest there, 0 or 1. Shape (images,); not a number where nothing is positive.
    """
    fitted = np.stack([fit_map(plane, masks.shape[1:3]) for plane in maps])
    positive = np.maximum(fitted, 0).reshape(len(maps), -1).astype(np.float64)
    inside, total = masks.reshape(len(masks), -1), positive.sum(axis=1)
    strongest = inside[np.arange(len(maps)), positive.argmax(axis=1)].astype(np.float64)
    return ratio((positive * inside).sum(axis=1), total), np.where(total > 0, strongest, np.nan)


def map_similarity(first: Maps, second: Maps) -> Floats:
    """The absolute rank correlation of each pair of maps; 0 where a map is constant.

    Args:
        first: float32, shape (images, rows, columns).
        second: float32, the same shape.

    Returns:
        Shape (images,), 0 to 1.
    """
    alike = [rank_correlation(a.ravel(), b.ravel()) for a, b in zip(first, second, strict=True)]
    return np.abs(np.nan_to_num(np.array(alike)))


def shuffled(model: keras.Model, part: Part, seed: int) -> keras.Model:
    """A copy of a network in which the values of each weight array stand in random order.

    The weights keep their distribution, so the maps keep their range; only what was learnt is gone.

    Args:
        model: Any functional model; it is not changed.
        part: ``head`` shuffles the last layer that has weights, ``all`` every one.
        seed: Of the order.
    """
    random = np.random.default_rng(seed)
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    layers = [layer for layer in other.layers if layer.weights]
    for layer in layers[-1:] if part == "head" else layers:
        weights = layer.get_weights()
        layer.set_weights([random.permutation(w.ravel()).reshape(w.shape) for w in weights])
    return other


def _in_the_lungs(context: EvaluationContext) -> Iterator[Metric]:
    lungs = context.lungs()
    found = lungs.masks.any(axis=(1, 2))
    rows, masks = lungs.rows[found], lungs.masks[found]
    for number, label in _findings(context):
        members = _spread(np.flatnonzero(context.predictions.classes[rows] == number), MAX_IMAGES)
        if len(members) < LEAST_IMAGES:
            continue
        chosen, inside = rows[members], masks[members]
        images = np.asarray(context.images[chosen])
        area = inside.mean(axis=(1, 2))
        yield from _mean(context, "heatmap_even_map_inside", chosen, area, label)
        alone = covered(images, ~inside[..., np.newaxis])
        for shown, suffix in ((images, ""), (alone, "_lungs_only")):
            maps = context.predict(shown)["activation_map"][..., number]
            share, pointing = activation_inside(maps, inside)
            yield from _mean(context, f"heatmap_inside{suffix}", chosen, share, label)
            yield from _mean(context, f"heatmap_pointing{suffix}", chosen, pointing, label)


def _with_shuffled_weights(context: EvaluationContext) -> Iterator[Metric]:
    """How alike the maps of the trained and of a shuffled network are."""
    if context.network is None:
        return
    # The last class: of two it is the finding, and the map of the other is its negative.
    number, label = list(_findings(context))[-1]
    rows = _spread(np.flatnonzero(context.predictions.classes == number), MAX_SHUFFLED)
    if len(rows) < LEAST_IMAGES:
        return
    images = np.asarray(context.images[rows])

    def maps(model: keras.Model) -> Maps:
        serving = with_serving_outputs(model, temperature=1.0)
        return np.asarray(serving.predict(images, verbose=0)["activation_map"][..., number])

    trained = maps(context.network)
    parts: tuple[Part, ...] = ("head", "all")
    for part in parts:
        others = [shuffled(context.network, part, context.seed + turn) for turn in range(SHUFFLES)]
        alike = np.mean([map_similarity(trained, maps(other)) for other in others], axis=0)
        yield from _mean(context, f"heatmap_alike_{part}_shuffled", rows, alike, label)


def _findings(context: EvaluationContext) -> Iterator[tuple[int, Label]]:
    """The positive finding, or where there is none every one."""
    for number, finding in enumerate(context.findings):
        if context.positive in {None, finding.label}:
            yield number, finding.label


def _spread(rows: Rows, limit: int) -> Rows:
    """At most ``limit``, from the whole list: its first ones may all be of one source."""
    return rows[np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(np.int64)]


def _mean(
    context: EvaluationContext, name: str, rows: Rows, values: Floats, label: Label
) -> Iterator[Metric]:
    """The mean of what is a number, if anything is."""
    usable = np.isfinite(values)
    if usable.any():
        known = values[usable]
        yield context.estimated(
            name, rows[usable], lambda w: ratio(w @ known, w.sum(axis=1)), label
        )


HEATMAPS = (
    Check("heatmaps", "Do heatmaps point into the lungs, and come from what was learnt?", heatmaps),
)
