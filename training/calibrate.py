"""What turns logits into answers: the temperature, the operating points and the heatmap's scale."""

from dataclasses import replace
from functools import partial

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from contract.findings import Label
from contract.manifest import OOD_SCORE, SOURCE_DISTANCE, Finding, OutOfDistribution
from contract.quality import QualityLimits
from training.batches import PREDICTED_AT_ONCE
from training.config import Frozen, OperatingPointConfig, Recipe
from training.errors import CalibrationError
from training.evidence import Border
from training.models import with_serving_outputs
from training.ood import OodScorer
from training.transforms import shifted

Logits = NDArray[np.float32]
Scores = NDArray[np.float32]
Images = NDArray[np.uint8]

# Full strength in a heatmap: all but the strongest hundredth of what a finding really shows.
ACTIVATION_PERCENTILE = 99
TEMPERATURE_BOUNDS = (0.05, 20.0)
# The share of the validation images that the limit of the score accepts. At most 3 % of them may be
# stopped wrongly, and the border stops some of its own.
ACCEPTED_SHARE = 0.98
ROUNDING_SHARE = 1e-3


class Calibration(Frozen):
    """calibration.json: chosen on the validation split, never changed by an evaluation.

    ``findings`` are in output order, as the manifest has them. The two losses are the mean negative
    log likelihood of the validation images, under all shifts, before and after temperature scaling.
    ``out_of_distribution`` has the limit of an accepted image's score; None where there is no
    score. ``quality`` is what the model accepts of an image's quality; None accepts everything.
    ``sources`` are those that the model tells apart, with the findings that it was shown to tell
    apart in each.
    """

    temperature: float = Field(gt=0)
    loss_before: float
    loss_after: float
    validation_images: int
    shifts: tuple[str, ...]
    findings: tuple[Finding, ...]
    out_of_distribution: OutOfDistribution | None = None
    quality: QualityLimits | None = None
    sources: dict[str, tuple[Label, ...]] = Field(default_factory=dict)


def calibrate(
    model: keras.Model,
    images: Images,
    classes: NDArray[np.int64],
    recipe: Recipe,
    scorer: OodScorer,
    quality: QualityLimits | None = None,
    border: Border | None = None,
) -> Calibration:
    """Calibrate a trained classifier on its validation images, under the recipe's shifts.

    Images are uint8, shape (images, height, width, 1); ``classes``, int, are their true ones. The
    limit is chosen of the scorer's score, ``quality`` is passed on, and the border has the sources
    that the model tells apart and the images' own. Raises ``CalibrationError`` where no operating
    point follows a rule.
    """
    serving = with_serving_outputs(model, 1.0, scorer, border.heads if border else None)
    shifts = recipe.calibration.shifts
    predict = partial(serving.predict, batch_size=PREDICTED_AT_ONCE, verbose=0)
    outputs = [predict(shifted(images, name)) for name in shifts]
    maps = outputs[shifts.index("none")]["activation_map"]
    logits = np.stack([output["logits"] for output in outputs])
    everything, truth = np.concatenate(logits), np.tile(classes, len(logits))
    # Of images that are referred for want of evidence too: they are the harder ones.
    temperature = fit_temperature(everything, truth)
    # One limit for all shifts: another hospital's images are to be accepted too. Where sources are
    # known, the border says which of those are, and the limit stays close.
    scored = outputs
    if border is not None:
        distances = np.concatenate([output[SOURCE_DISTANCE] for output in outputs])
        said = calibrated(everything, temperature)
        border = without_wrong_calls(border.as_answered(distances), said, truth, recipe)
        scored = [outputs[shifts.index("none")]]
    limit = ood_limit(np.concatenate([output[OOD_SCORE] for output in scored]))
    points = operating_points(calibrated(logits, temperature), classes, recipe, border)
    rules = {rule.label: rule for rule in recipe.operating_points}
    return Calibration(
        temperature=temperature,
        loss_before=mean_loss(everything, truth),
        loss_after=mean_loss(everything / temperature, truth),
        validation_images=len(images),
        shifts=shifts,
        findings=tuple(
            Finding(
                label=label,
                operating_point=points[number],
                operating_point_rule=describe(rules[label], len(shifts)),
                activation_scale=activation_scale(maps[classes == number, ..., number]),
            )
            for number, label in enumerate(recipe.data.classes)
        ),
        out_of_distribution=OutOfDistribution(limit=limit, method=scorer.method),
        quality=quality,
        sources=border.findings(recipe.data.classes) if border else {},
    )


def fit_temperature(logits: Logits, classes: NDArray[np.int64]) -> float:
    """The temperature at which logits, (images, classes), make the classes likeliest: Guo 2017."""
    result = minimize_scalar(
        lambda exponent: mean_loss(logits / np.exp(exponent), classes),
        bounds=np.log(TEMPERATURE_BOUNDS),
        method="bounded",
    )
    return float(np.exp(result.x))


def mean_loss(logits: Logits, classes: NDArray[np.int64]) -> float:
    """The mean negative log likelihood of the true classes; shapes as ``fit_temperature``."""
    likelihood = log_softmax(logits.astype(np.float64), axis=1)
    return float(-likelihood[np.arange(len(classes)), classes].mean())


def calibrated(logits: Logits, temperature: float) -> NDArray[np.float32]:
    """The probabilities that the served model gives for logits, shape (..., classes)."""
    return softmax(logits / np.float32(temperature), axis=-1)


def activation_scale(maps: NDArray[np.float32]) -> float:
    """The activation that a heatmap draws at full strength, from maps of images that have it."""
    positive = maps[maps > 0]
    # A class that shows no evidence at all has no scale of its own; one logit is then full.
    return float(np.percentile(positive, ACTIVATION_PERCENTILE)) if positive.size else 1.0


def ood_limit(scores: NDArray[np.floating]) -> float:
    """The out-of-distribution score that 98 % of some images do not exceed, and a thousandth more.

    Another runtime or precision then does not refuse the last of them.
    """
    return float(np.quantile(scores, ACCEPTED_SHARE, method="higher")) * (1 + ROUNDING_SHARE)


def describe(config: OperatingPointConfig, shifts: int) -> str:
    """The rule in words, as the manifest gives it, for so many acquisition shifts."""
    end = "highest" if config.rule == "sensitivity" else "lowest"
    rule = f"the {end} with a validation {config.rule} of at least {config.target:g}"
    if config.rule == "precision":
        rule += " in each source that shows the finding"
    if shifts == 1:
        return rule
    over = "over all of" if config.over == "pooled" else "under each of"
    return f"{rule} {over} {shifts} acquisition shifts"


def operating_points(
    probabilities: NDArray[np.float32],
    classes: NDArray[np.int64],
    recipe: Recipe,
    border: Border | None,
) -> tuple[float, ...]:
    """Choose the operating point of each finding, in output order, as the recipe's rule says.

    Probabilities are calibrated, shape (shifts, images, classes); ``classes`` has shape (images,).
    By a precision calls are right often enough in each source of a border. Raises
    ``CalibrationError`` where no operating point follows a rule.
    """
    rules = {rule.label: rule for rule in recipe.operating_points}
    everything, truth = np.concatenate(probabilities), np.tile(classes, len(probabilities))

    def point(number: int, rule: OperatingPointConfig) -> float:
        if rule.rule != "precision":
            return operating_point(probabilities[..., number], classes == number, rule)
        groups = [np.ones(len(truth), np.bool_)]
        if border is not None:
            groups = [border.owners == n for n in np.flatnonzero(border.heads.shown[:, number])]
        points = [_precise_point(everything, truth, number, rule.target, of) for of in groups]
        return max((1.0 if found is None else found for found in points), default=1.0)

    return tuple(point(n, rules[label]) for n, label in enumerate(recipe.data.classes))


def operating_point(
    scores: Scores, truth: NDArray[np.bool_], config: OperatingPointConfig
) -> float:
    """The least probability at which a finding counts as present, by a rule that is no precision.

    Scores are the finding's calibrated probabilities, float32, shape (shifts, images); ``truth``,
    bool, shape (images,), says whether it is there.
    """
    chosen = scores[:, ~truth if config.rule == "specificity" else truth]
    groups = [chosen.ravel()] if config.over == "pooled" else list(chosen)
    if config.rule == "specificity":
        return max(_lowest_with_specificity(group, config.target) for group in groups)
    # The score of the last positive image that must still be found.
    return min(float(np.sort(group)[_at_most(1 - config.target, len(group))]) for group in groups)


def without_wrong_calls(
    border: Border, probabilities: NDArray[np.float32], classes: NDArray[np.int64], recipe: Recipe
) -> Border:
    """The border without the findings whose calls in a source are at no probability right enough.

    Probabilities are calibrated, shape (images, classes), of the images under all shifts.
    """
    shown = border.heads.shown.copy()
    for rule in recipe.operating_points:
        number = recipe.data.classes.index(rule.label)
        for source in np.flatnonzero(shown[:, number]) if rule.rule == "precision" else ():
            group = border.owners == source
            point = _precise_point(probabilities, classes, number, rule.target, group)
            shown[source, number] = point is not None
    return replace(border, heads=replace(border.heads, shown=shown))


def _precise_point(
    probabilities: NDArray[np.float32],
    classes: NDArray[np.int64],
    number: int,
    target: float,
    group: NDArray[np.bool_],
) -> float | None:
    """The least probability from which a group's calls of a class are right often enough."""
    called = np.flatnonzero(group & (probabilities.argmax(axis=1) == number))
    order = called[np.argsort(-probabilities[called, number], kind="stable")]
    values = probabilities[order, number]
    right = np.cumsum(classes[order] == number) / np.arange(1, len(order) + 1)
    # Of those that are equally probable all are called.
    last_of_equals = np.append(values[1:] < values[:-1], True)[: len(values)]
    good = np.flatnonzero((right >= target) & last_of_equals)
    return float(values[good[-1]]) if len(good) else None


def _lowest_with_specificity(negatives: Scores, target: float) -> float:
    """Just above the first negative image that must no longer be found."""
    highest = np.sort(negatives)[::-1][_at_most(1 - target, len(negatives))]
    if highest >= 1:
        raise CalibrationError(
            f"No operating point reaches a specificity of {target:g} on the validation split: "
            "too many images of other classes have probability 1. Lower the target."
        )
    return float(np.nextafter(highest, np.float32(1)))


def _at_most(share: float, count: int) -> int:
    """The whole number of images in a share, forgiving the rounding of a decimal fraction."""
    return int(np.floor(share * count + 1e-9))
