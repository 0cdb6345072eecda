"""Small sets of images and models that are no networks: each reads one place, and nothing else."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.training_data import findings
from training.report.context import EvaluationContext, Images, Outputs

IMAGES = 60
SIDE = 32
MAP_SIDE = 4
INSIDE = slice(8, 24)
BORDER = 3

FINDINGS = findings(("normal", 0.6), ("pneumonia", 0.6), activation_scale=5)

Region = NDArray[np.bool_]
ContextOf = Callable[..., EvaluationContext]


def region(place: str) -> Region:
    """Where a planted sign lies, or where a model looks: bool, shape (SIDE, SIDE)."""
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[INSIDE, INSIDE] = True
    border = np.ones((SIDE, SIDE), dtype=bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    return {"inside": inside, "border": border}[place]


def planted(place: str) -> tuple[Images, NDArray[np.int64]]:
    """Noise in which the second class is brighter in one place; classes take turns."""
    random = np.random.default_rng(0)
    classes = np.arange(IMAGES) % 2
    grays = random.normal(100, 20, (IMAGES, SIDE, SIDE))
    grays += 40 * classes[:, np.newaxis, np.newaxis] * region(place)
    return np.clip(grays, 0, 255).astype(np.uint8)[..., np.newaxis], classes


def looking_at(place: str) -> Callable[[Images], Outputs]:
    """A model that finds pneumonia where one place is bright."""
    seen = region(place)

    def predict(images: Images) -> Outputs:
        brightness = images[..., 0][:, seen].mean(axis=1)
        evidence = ((brightness - 120) / 4).astype(np.float32)
        logits = np.stack([-evidence, evidence], axis=1) / 2
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        maps = np.broadcast_to(logits[:, None, None], (len(images), MAP_SIDE, MAP_SIDE, 2))
        return {
            "logits": logits,
            "probabilities": odds / odds.sum(axis=1, keepdims=True),
            "activation_map": maps,
        }

    return predict


def every_eighth_pixel(images: Images) -> NDArray[np.float32]:
    """Features, float32, shape (images, 16)."""
    return images[:, ::8, ::8, 0].reshape(len(images), -1).astype(np.float32)
