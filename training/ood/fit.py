"""Fitting the score on the images that a network was trained on, after the training.

Source: Lee 2018, A Simple Unified Framework for Detecting Out-of-Distribution Samples. One Gaussian
would be too wide for a pool of several hospitals: what lies between them would pass as familiar.
"""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from training.acquisition_shifts import shifted
from training.config import Recipe
from training.input_pipeline import ImageBatches
from training.models import feature_model
from training.ood.descriptor import Description
from training.ood.scorer import OodScorer

Images = NDArray[np.uint8]
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

# Enough for the covariance of some two hundred values; more only costs time.
FIT_IMAGES = 4096
IMAGES_PER_GROUP = 64
GROUPING_COMPONENTS = 20

# Part of every group's covariance that is shared by all, and of its mean variance added to each
# direction: a group has hardly more images than values.
SHARED_COVARIANCE = 0.3
VARIANCE_FLOOR = 1e-3
SCALE_FLOOR = 1e-3


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a network makes of some images, float32.

    ``features`` has shape (images, features), ``numbers`` (images, numbers of the description),
    ``logits`` (images, classes).
    """

    features: NDArray[np.float32]
    numbers: NDArray[np.float32]
    logits: NDArray[np.float32]


def fit_scorer(model: keras.Model, images: Images, positions: Rows, recipe: Recipe) -> OodScorer:
    """Fit the score of a trained classifier on its training images.

    They are seen under the recipe's acquisition shifts, since another hospital's chest images are
    familiar too.

    Args:
        model: The training form.
        images: uint8, shape (cached images, height, width, 1).
        positions: int, shape (training images,): rows of ``images``.
        recipe: Its shifts, its numbers of components and groups, and its seed.
    """
    _, embedded = embed_training(model, images, positions, recipe)
    rules = recipe.calibration
    groups = min(rules.ood_groups, max(1, len(positions) // IMAGES_PER_GROUP))
    return scorer_of(embedded, groups, recipe.seed, rules.ood_components)


def embed_training(
    model: keras.Model, images: Images, positions: Rows, recipe: Recipe
) -> tuple[Rows, Embedded]:
    """Embed a draw of the training images, each under one of the recipe's shifts.

    Of a small training set an image comes more than once, at most once under each shift.

    Args:
        model: The training form.
        images: uint8, shape (cached images, height, width, 1).
        positions: int, shape (training images,): rows of ``images``.
        recipe: Its shifts and its seed.

    Returns:
        The rows of ``images`` that were drawn, and what the network makes of them.
    """
    random = np.random.default_rng(recipe.seed)
    shifts = recipe.calibration.shifts
    count = min(FIT_IMAGES, len(positions) * len(shifts))
    drawn = np.resize(random.permutation(positions), count)
    # In each further round through the images, each comes under its next shift.
    first = np.resize(random.integers(len(shifts), size=len(positions)), count)
    chosen = (first + np.arange(count) // len(positions)) % len(shifts)
    embedding = embedding_model(model)
    parts = [drawn[chosen == number] for number in range(len(shifts))]
    embedded = [
        embed(embedding, shifted(np.asarray(images[rows]), name))
        for name, rows in zip(shifts, parts, strict=True)
        if len(rows)
    ]
    return np.concatenate(parts), joined(embedded)


def embedding_model(model: keras.Model) -> keras.Model:
    """A classifier's features and logits, and the description of the image, in one graph."""
    outputs = {
        "features": feature_model(model).output,
        "numbers": Description()(model.input),
        "logits": model.output,
    }
    return keras.Model(model.input, outputs, name="embedding")


def embed(embedding: keras.Model, images: Images) -> Embedded:
    """Run an ``embedding_model`` on images, uint8, shape (images, height, width, 1)."""
    batches = ImageBatches(images, np.arange(len(images)))
    return Embedded(**embedding.predict(batches, verbose=0))


def joined(parts: list[Embedded]) -> Embedded:
    """Several embeddings, one after the other."""
    return Embedded(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.logits for part in parts]),
    )


def scorer_of(embedded: Embedded, groups: int, seed: int, components: int) -> OodScorer:
    """Fit the score on embedded training images.

    Args:
        embedded: Of at least two images.
        groups: How many Gaussians.
        seed: Of the grouping.
        components: How many main directions of the features, at most.
    """
    values = np.concatenate([embedded.features, embedded.numbers], axis=1).astype(np.float64)
    centre, scale = values.mean(axis=0), values.std(axis=0) + SCALE_FLOOR
    known, seen = np.split((values - centre) / scale, [embedded.features.shape[1]], axis=1)
    main = PCA(min(components, *known.shape), svd_solver="full").fit(known).components_.T
    placed = np.concatenate([known @ main, seen], axis=1)
    means, whitening = _gaussians(placed, _grouped(placed, groups, seed))
    constants = (centre, scale, main, means, whitening)
    return OodScorer(*(constant.astype(np.float32) for constant in constants))


def _grouped(placed: Floats, groups: int, seed: int) -> NDArray[np.int64]:
    """The group of each image, found in the directions in which the images differ most."""
    leading = PCA(min(GROUPING_COMPONENTS, *placed.shape), random_state=seed).fit_transform(placed)
    return KMeans(groups, n_init=4, random_state=seed).fit_predict(leading)


def _gaussians(placed: Floats, group: NDArray[np.int64]) -> tuple[Floats, Floats]:
    numbers = range(group.max() + 1)
    means = np.stack([placed[group == number].mean(axis=0) for number in numbers])
    residual = placed - means[group]
    shared = _covariance(residual)
    whitening = [
        _whitening(
            (1 - SHARED_COVARIANCE) * _covariance(residual[group == number])
            + SHARED_COVARIANCE * shared
        )
        for number in numbers
    ]
    return means, np.stack(whitening)


def _covariance(residual: Floats) -> Floats:
    return residual.T @ residual / len(residual)


def _whitening(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    floor = VARIANCE_FLOOR * values.mean()
    return vectors / np.sqrt(np.maximum(values, 0) + floor)
