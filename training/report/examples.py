"""Some images that the model got right, got wrong, or would refer, with their activation maps."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.image import imsave
from numpy.typing import NDArray
from scipy.ndimage import zoom

from contract.findings import Label
from training.predictions import REFERRED, answered_outputs
from training.report.context import EvaluationContext

PER_KIND = 2
STRENGTH = 0.6
HEAT = "inferno"

Kind = Literal["hit", "miss", "referred"]
Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Example:
    """One image for the page.

    ``said`` is the most probable finding, whose activation map ``heatmap`` shows over the image;
    both pictures are data URIs of PNG files.
    """

    kind: Kind
    truth: Label
    said: Label
    probability: float
    source: str
    path: str
    image: str
    heatmap: str


def examples(context: EvaluationContext) -> list[Example]:
    """Of each class, up to two hits, two misses and two referred images, the surest of each."""
    chosen = list(_chosen(context))
    if not chosen:
        return []
    images = np.asarray(context.images[np.array([row for _, row in chosen])])
    maps = context.predict(images)["activation_map"]
    return [
        _example(context, kind, row, image[..., 0], activation)
        for (kind, row), image, activation in zip(chosen, images, maps, strict=True)
    ]


def _chosen(context: EvaluationContext) -> Iterator[tuple[Kind, int]]:
    predictions = context.predictions
    answers = answered_outputs(predictions, context.findings)
    right, referred = answers == predictions.classes, answers == REFERRED
    kinds: dict[Kind, NDArray[np.bool_]] = {
        "hit": right,
        "miss": ~right & ~referred,
        "referred": referred,
    }
    surest = np.argsort(-predictions.probabilities.max(axis=1), kind="stable")
    for number in range(len(context.findings)):
        for kind, members in kinds.items():
            rows = surest[(members & (predictions.classes == number))[surest]]
            yield from ((kind, int(row)) for row in rows[:PER_KIND])


def _example(
    context: EvaluationContext, kind: Kind, row: int, image: Plane, activation: NDArray[np.float32]
) -> Example:
    probabilities = context.predictions.probabilities[row]
    said = int(probabilities.argmax())
    finding = context.findings[said]
    colour = np.repeat(image[..., np.newaxis], 3, axis=2)
    return Example(
        kind=kind,
        truth=context.findings[int(context.predictions.classes[row])].label,
        said=finding.label,
        probability=float(probabilities[said]),
        source=str(context.predictions.sources[row]),
        path=str(context.paths[row]),
        image=_data_uri(colour),
        heatmap=_data_uri(_over(colour, activation[..., said] / finding.activation_scale)),
    )


def _over(colour: Plane, strength: NDArray[np.float32]) -> Plane:
    """Lay a map over an image: the stronger the evidence, the less of the image shows through."""
    factors = [side / cells for side, cells in zip(colour.shape[:2], strength.shape, strict=True)]
    fitted = np.clip(zoom(strength, factors, order=1, grid_mode=True, mode="nearest"), 0, 1)
    heat = colormaps[HEAT](fitted)[..., :3] * 255
    opacity = STRENGTH * fitted[..., np.newaxis]
    return np.rint(colour * (1 - opacity) + heat * opacity).astype(np.uint8)


def _data_uri(colour: Plane) -> str:
    file = io.BytesIO()
    imsave(file, colour, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
