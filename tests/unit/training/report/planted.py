"""Small sets of images and models that are no networks: each reads one place, and nothing else."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.preprocessing import PreprocessingSpec
from tests.training_data import findings
from training.predictions import Predictions
from training.report.context import EvaluationContext, Images, Outputs

IMAGES = 60
SIDE = 32
MAP_SIDE = 4

FINDINGS = findings(("normal", 0.6), ("pneumonia", 0.6), activation_scale=5)


def region(place: str) -> NDArray[np.bool_]:
    """Where a planted sign lies, or where a model looks: bool, shape (SIDE, SIDE)."""
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[8:24, 8:24] = True
    border = np.ones((SIDE, SIDE), dtype=bool)
    border[3:-3, 3:-3] = False
    return {"inside": inside, "border": border}[place]


def planted(
    sign: str, looks_at: str, *, sources: NDArray[np.str_] | None = None, **parts: Any
) -> EvaluationContext:
    """A context of noise in which the second class is brighter in the place of the sign.

    The model finds pneumonia where the place that it looks at is bright.
    """
    seen, classes = region(looks_at), np.arange(IMAGES) % 2
    grays = np.random.default_rng(0).normal(100, 20, (IMAGES, SIDE, SIDE))
    grays += 40 * classes[:, np.newaxis, np.newaxis] * region(sign)
    images = np.clip(grays, 0, 255).astype(np.uint8)[..., np.newaxis]

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

    outputs, names = predict(images), np.array([f"patient-{n}" for n in range(IMAGES)])
    predictions = Predictions(
        logits=outputs["logits"],
        probabilities=outputs["probabilities"],
        classes=classes,
        patients=names,
        sources=np.repeat("one", IMAGES) if sources is None else sources,
    )
    return EvaluationContext(
        **{
            "images": images,
            "predictions": predictions,
            "groups": names,
            "paths": np.array([f"{name}.png" for name in names]),
            "findings": FINDINGS,
            "positive": "pneumonia",
            "dataset": "planted",
            "seed": 0,
            "predict": predict,
            "features": lambda chosen: chosen[:, ::8, ::8, 0].reshape(len(chosen), -1) * 1.0,
            "spec": PreprocessingSpec(height=SIDE, width=SIDE),
            **parts,
        }
    )
