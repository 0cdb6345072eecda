"""How well unfamiliar images are told from familiar ones, by kind and by method."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.acquisition_shifts import shifted
from training.calibrate import familiar_limit
from training.config import Recipe
from training.metrics import auroc, share_of_independent, whole
from training.ood.fit import Embedded, embed, embed_training, embedding_model, joined
from training.ood.methods import METHODS, Score
from training.ood.scorer import OodScorer

Images = NDArray[np.uint8]

SERVED = "served"
ALL = "all unfamiliar"


class Detection(BaseModel):
    """One kind of images under one method.

    ``caught`` is the share beyond the limit that 99 % of the validation images keep, with its 95 %
    interval (Wilson); of familiar images it is the share that is refused. ``auroc`` is against the
    validation images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    kind: str
    familiar: bool
    images: int
    auroc: float
    caught: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of images, and whether a model should accept it."""

    name: str
    familiar: bool


@dataclass(frozen=True, slots=True)
class Known:
    """The images that a network was made with.

    ``images`` is uint8, shape (cached images, height, width, 1), ``classes`` int, shape (cached
    images,); ``training`` and ``validation`` are rows of both.
    """

    images: Images
    classes: NDArray[np.int64]
    training: NDArray[np.int64]
    validation: NDArray[np.int64]


def measure_unfamiliar(
    model: keras.Model,
    scorer: OodScorer,
    known: Known,
    recipe: Recipe,
    unfamiliar: Mapping[str, Images],
    familiar: Mapping[str, Images],
) -> tuple[Detection, ...]:
    """Measure the served score and the methods that it is compared with.

    Each method has its own limit, chosen as that of the served score is: over all validation
    images, under all of the recipe's shifts.

    Args:
        model: The training form.
        scorer: What is served.
        known: What every method is fitted on, and what its limit is chosen on.
        recipe: Its shifts and its seed.
        unfamiliar: By kind, uint8, shape (images, height, width, 1).
        familiar: The same, of images that should be accepted, such as the test split.

    Returns:
        For each method a row for all unfamiliar images together, and one for each kind.
    """
    embedding = embedding_model(model)
    methods = {SERVED: _served(scorer)} | _fitted(model, known, recipe)
    validation = _validation(embedding, known, recipe)
    kinds = {
        Kind(name, is_familiar): embed(embedding, images)
        for is_familiar, group in ((False, unfamiliar), (True, familiar))
        for name, images in group.items()
    }
    return tuple(
        row for name, score in methods.items() for row in _rows(name, score, validation, kinds)
    )


def _served(scorer: OodScorer) -> Score:
    return lambda images: np.asarray(
        keras.ops.convert_to_numpy(scorer.distance(images.features, images.numbers))
    )


def _fitted(model: keras.Model, known: Known, recipe: Recipe) -> dict[str, Score]:
    rows, embedded = embed_training(model, known.images, known.training, recipe)
    return {name: fit(embedded, known.classes[rows]) for name, fit in METHODS.items()}


def _validation(embedding: keras.Model, known: Known, recipe: Recipe) -> Embedded:
    images = np.asarray(known.images[known.validation])
    return joined([embed(embedding, shifted(images, name)) for name in recipe.calibration.shifts])


def _rows(
    method: str, score: Score, validation: Embedded, kinds: Mapping[Kind, Embedded]
) -> Iterator[Detection]:
    inside = score(validation)
    scores = {kind: score(images) for kind, images in kinds.items()}
    strange = np.concatenate([found for kind, found in scores.items() if not kind.familiar])
    for kind, found in {Kind(ALL, familiar=False): strange, **scores}.items():
        yield _detection(method, kind, inside, found)


def _detection(
    method: str, kind: Kind, inside: NDArray[np.floating], scores: NDArray[np.floating]
) -> Detection:
    caught = int((scores > familiar_limit(inside)).sum())
    share = share_of_independent(caught, len(scores))
    together = np.concatenate([inside, scores]).astype(np.float64)
    strange = np.arange(len(together)) >= len(inside)
    return Detection(
        method=method,
        kind=kind.name,
        familiar=kind.familiar,
        images=len(scores),
        auroc=float(auroc(together, strange, whole(len(together)))[0]),
        caught=share.value,
        lower=share.lower,
        upper=share.upper,
    )
