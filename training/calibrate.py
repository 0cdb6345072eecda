"""What turns logits into answers: the temperature, the operating points and the heatmap's scale."""

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from contract.manifest import OOD_SCORE, Finding, OutOfDistribution
from contract.quality import QualityLimits
from training.acquisition_shifts import shifted
from training.config import Recipe
from training.input_pipeline import ImageBatches
from training.models import with_serving_outputs
from training.ood.scorer import OodScorer
from training.operating_points import describe, operating_point

Logits = NDArray[np.float32]
Images = NDArray[np.uint8]

# Full strength in a heatmap: all but the strongest hundredth of what a finding really shows.
ACTIVATION_PERCENTILE = 99
TEMPERATURE_BOUNDS = (0.05, 20.0)
# How many of the validation images, under all shifts, are familiar.
FAMILIAR_SHARE = 0.99


class Calibration(BaseModel):
    """calibration.json: chosen on the validation split, never changed by an evaluation.

    ``findings`` are in output order, as the manifest has them. The two losses are the mean negative
    log likelihood of the validation images, under all shifts, before and after temperature scaling.
    ``out_of_distribution`` has the limit of a familiar image's score; None where there is no score.
    ``quality`` is what the model accepts of an image's quality; None accepts everything.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(gt=0)
    loss_before: float
    loss_after: float
    validation_images: int
    shifts: tuple[str, ...]
    findings: tuple[Finding, ...]
    out_of_distribution: OutOfDistribution | None = None
    quality: QualityLimits | None = None


def calibrate(
    model: keras.Model,
    images: Images,
    positions: NDArray[np.int64],
    classes: NDArray[np.int64],
    recipe: Recipe,
    scorer: OodScorer | None = None,
) -> Calibration:
    """Calibrate a trained classifier.

    Args:
        model: The training form.
        images: uint8, shape (cached images, height, width, 1).
        positions: int, shape (validation images,): rows of ``images``.
        classes: int, shape (validation images,): their true classes.
        recipe: The rules, and the acquisition shifts under which they must hold.
        scorer: Gives the score whose limit is chosen; None where there is none.

    Raises:
        CalibrationError: No operating point follows a rule.
    """
    serving = with_serving_outputs(model, 1.0, scorer)
    validation = np.asarray(images[positions])
    shifts = recipe.calibration.shifts
    outputs = [_predict(serving, shifted(validation, name)) for name in shifts]
    logits = np.stack([output["logits"] for output in outputs])
    everything, truth = np.concatenate(logits), np.tile(classes, len(logits))
    temperature = fit_temperature(everything, truth)
    maps = _predict(serving, validation)["activation_map"]
    return Calibration(
        temperature=temperature,
        loss_before=mean_loss(everything, truth),
        loss_after=mean_loss(everything / temperature, truth),
        validation_images=len(positions),
        shifts=shifts,
        findings=_findings(calibrated(logits, temperature), maps, classes, recipe),
        out_of_distribution=None if scorer is None else _familiar(outputs, scorer),
    )


def fit_temperature(logits: Logits, classes: NDArray[np.int64]) -> float:
    """The temperature at which the images are most likely.

    Source: Guo 2017, On Calibration of Modern Neural Networks.

    Args:
        logits: float32, shape (images, classes).
        classes: int, shape (images,).
    """
    result = minimize_scalar(
        lambda exponent: mean_loss(logits / np.exp(exponent), classes),
        bounds=np.log(TEMPERATURE_BOUNDS),
        method="bounded",
    )
    return float(np.exp(result.x))


def mean_loss(logits: Logits, classes: NDArray[np.int64]) -> float:
    """The mean negative log likelihood of the true classes.

    Args:
        logits: Shape (images, classes).
        classes: int, shape (images,).
    """
    likelihood = log_softmax(logits.astype(np.float64), axis=1)
    return float(-likelihood[np.arange(len(classes)), classes].mean())


def calibrated(logits: Logits, temperature: float) -> NDArray[np.float32]:
    """The probabilities that the served model gives for these logits.

    Args:
        logits: float32, shape (..., classes).
        temperature: Above 0.

    Returns:
        float32, the same shape.
    """
    return softmax(logits / np.float32(temperature), axis=-1)


def activation_scale(maps: NDArray[np.float32]) -> float:
    """The activation that a heatmap draws at full strength.

    Args:
        maps: One class's activation maps of images that have it, shape (images, rows, columns).
    """
    positive = maps[maps > 0]
    # A class that shows no evidence at all has no scale of its own; one logit is then full.
    return float(np.percentile(positive, ACTIVATION_PERCENTILE)) if positive.size else 1.0


def _findings(
    probabilities: NDArray[np.float32],
    maps: NDArray[np.float32],
    classes: NDArray[np.int64],
    recipe: Recipe,
) -> tuple[Finding, ...]:
    rules = {rule.label: rule for rule in recipe.operating_points}
    return tuple(
        Finding(
            label=label,
            operating_point=operating_point(
                probabilities[..., number], classes == number, rules[label]
            ),
            operating_point_rule=describe(rules[label], shifts=len(probabilities)),
            activation_scale=activation_scale(maps[classes == number, ..., number]),
        )
        for number, label in enumerate(recipe.data.classes)
    )


def _familiar(
    outputs: Sequence[dict[str, NDArray[np.float32]]], scorer: OodScorer
) -> OutOfDistribution:
    """The limit of the score, one for all shifts: another hospital's images are familiar too."""
    scores = np.concatenate([output[OOD_SCORE] for output in outputs])
    return OutOfDistribution(limit=familiar_limit(scores), method=scorer.method)


def familiar_limit(scores: NDArray[np.floating]) -> float:
    """The score that 99 % of some familiar images do not exceed.

    Args:
        scores: Shape (images,), higher is stranger.
    """
    return float(np.quantile(scores, FAMILIAR_SHARE, method="higher"))


def _predict(serving: keras.Model, images: Images) -> dict[str, NDArray[np.float32]]:
    return serving.predict(ImageBatches(images, np.arange(len(images))), verbose=0)
