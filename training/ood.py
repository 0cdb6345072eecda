"""How unlike its training images an image is, and which source it is most like.

The outputs ``ood_score`` and ``source_distance`` of the served graph. A network that has seen
nothing but chest images keeps what tells their classes apart, and little of what tells a chest from
a photograph. The score therefore also looks at the image: at its coarse layout, its exposure, and
the amount of detail at each scale.

The description of an image, so that NumPy or another graph can compute it too. ``X`` is the image
as float32; ``H(n)`` is the Haar basis of ``n`` pixels in a line (``haar_basis``), one vector a row,
the mean first, scaled so that squared coefficients are mean powers:

1. ``C1 = H(4) @ B @ H(4).T`` for each block ``B`` of 4 by 4 pixels of ``X``. Its first coefficient
   is the block's mean, which make ``A`` (height / 4, width / 4).
2. ``C2 = H(8) @ B @ H(8).T`` for each block of 8 by 8 values of ``A``, so of 32 by 32 pixels.
3. ``powers``: the means of ``C1 ** 2`` and ``C2 ** 2`` over all blocks, summed by scale and
   direction with a matrix of zeros and ones: 15 numbers, those of the Haar wavelet's details.
4. ``thumbnail``: 8 by 8 area means of ``A``, as ``R @ A @ R.T`` with the constant ``R``.
5. ``variance``: the sum of ``powers`` and the variance of the first coefficients of ``C2``
   (Parseval's identity).

The numbers are the thumbnail with mean 0 and variance 1, its mean / 64, the logarithm of the
standard deviation, and those of the 15 root mean square details.

Source: Lee 2018, A Simple Unified Framework for Detecting Out-of-Distribution Samples; Mallat 1989,
A Theory for Multiresolution Signal Decomposition. One Gaussian would be too wide for a pool of
several hospitals: what lies between them would pass as one of them.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from training.batches import PREDICTED_AT_ONCE
from training.config import Recipe
from training.transforms import shifted

Floats = NDArray[np.floating]
Images = NDArray[np.uint8]
Rows = NDArray[np.int64]

# Eight by eight means tell a chest from a hand or a page; finer ones tell one patient from another.
THUMBNAIL = 8
# The sides of the blocks of the two convolutions, the second in blocks of the first.
FINE, COARSE = 4, 8
# Added to variances and powers, in squared gray levels: an even area has no contrast to amplify,
# and zero has no logarithm.
VARIANCE_FLOOR = 16.0
POWER_FLOOR = 0.05
# Brings the mean gray level near the size of the other numbers.
LEVEL_UNIT = 64.0

# Enough for the covariance of some two hundred values; more only costs time.
FIT_IMAGES = 4096
IMAGES_PER_GROUP = 64
GROUPING_COMPONENTS = 20
# The part of every group's covariance that all share, and of its mean variance that is added to
# each direction: a group has hardly more images than values.
SHARED_COVARIANCE = 0.3
COVARIANCE_FLOOR = 1e-3
SCALE_FLOOR = 1e-3
# The inverse strength of the penalty of the classifier that names the source.
NAMING_PENALTY = 1e-2


def haar_basis(side: int) -> tuple[Floats, NDArray[np.int64]]:
    """The Haar basis of a line of ``side`` pixels, a power of two: a vector a row, the mean first.

    And the scale of each, from 1 for the finest; the mean has ``side``.
    """
    vectors, scales = [np.full(side, 1 / side)], [side]
    for scale in range(int(np.log2(side)), 0, -1):
        step = 2**scale
        pattern = np.repeat([1.0, -1.0], step // 2) / np.sqrt(step * side)
        for start in range(0, side, step):
            vector = np.zeros(side)
            vector[start : start + step] = pattern
            vectors.append(vector)
            scales.append(scale)
    return np.stack(vectors).astype(np.float32), np.array(scales)


def describe_image(image: keras.KerasTensor) -> keras.KerasTensor:
    """Describe images, uint8 (batch, height, width, 1), as this module's docstring defines it.

    Rows and columns beyond the last whole block are left out of the details. The result is float32,
    shape (batch, 81): the thumbnail's 64, the exposure's 2, the detail's 15 (fewer below 32 by 32
    pixels; at least 8 by 8 are needed).
    """
    fine, fine_powers = _blocks(ops.squeeze(ops.cast(image, "float32"), axis=-1), FINE)
    height, width = fine.shape[1:]
    side = min(COARSE, 2 ** int(np.log2(min(height, width))))
    coarse, coarse_powers = _blocks(fine, side)
    powers = ops.concatenate([fine_powers, coarse_powers], axis=-1)
    thumbnail = ops.matmul(_averaging(height), ops.matmul(fine, _averaging(width).T))
    thumbnail = ops.reshape(thumbnail, (-1, THUMBNAIL**2))
    mean = ops.mean(thumbnail, axis=1, keepdims=True)
    rest = ops.reshape(coarse, (-1, int(np.prod(coarse.shape[1:]))))
    variance = ops.sum(powers, axis=1, keepdims=True) + _variance(rest)
    return ops.concatenate(
        [
            (thumbnail - mean) / ops.sqrt(_variance(thumbnail) + VARIANCE_FLOOR),
            mean / LEVEL_UNIT,
            ops.log(variance + VARIANCE_FLOOR) / 2,
            ops.log(powers + POWER_FLOOR) / 2,
        ],
        axis=-1,
    )


def _blocks(level: keras.KerasTensor, side: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The means of all blocks of (batch, height, width), and the mean power of their details.

    The powers, (batch, 3 * scales), go from fine to coarse, each across, down and diagonal.
    """
    basis, scales = haar_basis(side)
    rows, columns = (length // side for length in level.shape[1:])
    blocks = level[:, : rows * side, : columns * side]
    across = ops.matmul(ops.reshape(blocks, (-1, rows, side, columns, side)), basis.T)
    both = ops.matmul(basis, ops.reshape(across, (-1, rows, side, columns * side)))
    found = ops.reshape(both, (-1, rows, side, columns, side))
    powers = ops.reshape(ops.mean(ops.square(found), axis=(1, 3)), (-1, side * side))
    down, right = (scales.repeat(side), np.tile(scales, side))
    finest = np.minimum(down, right)
    direction = np.where(down == right, 2, np.where(right < down, 0, 1))
    number = 3 * (finest - 1) + direction
    # The first is the mean of the whole block, which is no detail.
    membership = (number[:, np.newaxis] == np.arange(3 * (scales[1]))).astype(np.float32)
    return found[:, :, 0, :, 0], ops.matmul(powers, membership)


def _variance(values: keras.KerasTensor) -> keras.KerasTensor:
    return ops.mean(
        ops.square(values - ops.mean(values, axis=1, keepdims=True)), axis=1, keepdims=True
    )


def _averaging(length: int) -> NDArray[np.float32]:
    """The means over equal parts of a line of pixels, shape (parts, length); parts share pixels."""
    edges = np.linspace(0, length, THUMBNAIL + 1)[:, np.newaxis]
    pixels = np.arange(length)
    shared = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    weights = np.clip(shared, 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class OodScorer:
    """The constants of the score, all float32.

    A network's features and an image's description, standardised by ``centre`` and ``scale``, shape
    (features + numbers,), are the ``numbers`` of the description behind the features' projection on
    ``components``, shape (features, components). ``means``, shape (groups, values), and
    ``whitening``, shape (groups, values, values), are each group's: in its whitened values the
    training images of a group lie around zero with variance one in every direction. ``owners``,
    shape (groups,), is the number of the source that each group is of; ``limits``, shape
    (sources,), the largest distance of a familiar image of each source. ``names``, shape (features
    + numbers + 1, sources), is a linear classifier that names the source, its bias last.
    """

    centre: Floats
    scale: Floats
    components: Floats
    means: Floats
    whitening: Floats
    owners: Floats
    limits: Floats
    names: Floats

    @property
    def method(self) -> str:
        """The method in words, as the manifest gives it."""
        groups = "one group" if len(self.means) == 1 else f"the nearest of {len(self.means)} groups"
        return (
            f"Mahalanobis distance to {groups} of training images, in the network's features, a "
            "thumbnail, and the detail at each scale"
        )

    def score(
        self, features: keras.KerasTensor, numbers: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Score images by their pooled features and descriptions, inside a graph or outside.

        Returns:
            float32, not negative: the distance to the nearest group per value in standard
            deviations, shape (batch,), around 1 for training images and higher for stranger ones;
            and that to each source as a share of its limit, shape (batch, sources), with the nats
            by which the source is less likely than the likeliest one on top.
        """
        count = len(self.components)
        known = (features - self.centre[:count]) / self.scale[:count]
        seen = (numbers - self.centre[count:]) / self.scale[count:]
        placed = ops.concatenate([ops.matmul(known, self.components), seen], axis=-1)
        groups, values = self.means.shape
        # All groups in one product; each has its columns.
        joint = np.concatenate(list(self.whitening), axis=1)
        origin = np.einsum("gv,gvw->gw", self.means, self.whitening).ravel()
        whitened = ops.reshape(ops.matmul(placed, joint) - origin, (-1, groups, values))
        distances = ops.sqrt(ops.mean(ops.square(whitened), axis=-1))
        # The groups of a source stand side by side.
        ends = np.searchsorted(self.owners, np.arange(len(self.limits) + 1)).tolist()
        parts = [distances[:, start:end] for start, end in pairwise(ends)]
        nearest = ops.concatenate([ops.min(part, axis=-1, keepdims=True) for part in parts], -1)
        both = ops.concatenate([known, seen], axis=-1)
        likely = ops.log_softmax(ops.matmul(both, self.names[:-1]) + self.names[-1], axis=-1)
        behind = ops.max(likely, axis=-1, keepdims=True) - likely
        return ops.min(distances, axis=-1), nearest / self.limits + behind


class OodScore(keras.layers.Layer):
    """A scorer as one node of a network. It is exported with the network, not saved with it."""

    def __init__(self, scorer: OodScorer, **kwargs: Any) -> None:  # noqa: ANN401 - Keras's own signature
        super().__init__(dtype="float32", **kwargs)
        self.scorer = scorer

    def call(
        self, features: keras.KerasTensor, image: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Score images; see ``OodScorer.score``."""
        return self.scorer.score(features, describe_image(image))


def embed(features: keras.Model, images: Images) -> dict[str, NDArray[np.float32]]:
    """The ``features`` of images, from ``training.models.feature_model``, and ``described``."""
    # As one node, whose name cannot meet that of another in the network.
    described = keras.layers.Lambda(describe_image)(features.input)
    outputs = {"features": features.output, "described": described}
    model = keras.Model(features.input, outputs, name="embedding")
    return model.predict(images, batch_size=PREDICTED_AT_ONCE, verbose=0)


def fit_scorer(features: keras.Model, images: Images, recipe: Recipe) -> OodScorer:
    """Fit the score on a draw of training images, each under one of the recipe's shifts.

    Another hospital's chest images count as known too, which is what the shifts stand for. Of a
    small training set an image comes more than once, at most once under each shift. ``features`` is
    a ``feature_model``; images are uint8, shape (images, height, width, 1). All are of one source,
    with a limit of 1.
    """
    random, shifts = np.random.default_rng(recipe.seed), recipe.calibration.shifts
    count = min(FIT_IMAGES, len(images) * len(shifts))
    drawn = np.resize(random.permutation(len(images)), count)
    # In each further round through the images, each comes under its next shift.
    first = np.resize(random.integers(len(shifts), size=len(images)), count)
    chosen = (first + np.arange(count) // len(images)) % len(shifts)
    rows = {name: drawn[chosen == number] for number, name in enumerate(shifts)}
    changed = [shifted(images[of], name) for name, of in rows.items() if len(of)]
    found = embed(features, np.concatenate(changed))
    groups = min(recipe.calibration.ood_groups, max(1, len(images) // IMAGES_PER_GROUP))
    one = np.zeros(count, np.int64)
    return scorer_of(found["features"], found["described"], one, groups, recipe)


def scorer_of(known: Floats, seen: Floats, owners: Rows, groups: int, recipe: Recipe) -> OodScorer:
    """Fit the score on the features ``known`` and descriptions ``seen`` of training images.

    Both are float32, shape (images, ...), of at least two images; ``owners``, int, shape (images,),
    is the source of each. Each source has at most ``groups`` Gaussians.
    """
    seed, components = recipe.seed, recipe.calibration.ood_components
    values = np.concatenate([known, seen], axis=1).astype(np.float64)
    centre, scale = values.mean(axis=0), values.std(axis=0) + SCALE_FLOOR
    standard = (values - centre) / scale
    known, seen = np.split(standard, [known.shape[1]], axis=1)
    main = PCA(min(components, *known.shape), svd_solver="full").fit(known).components_.T
    placed = np.concatenate([known @ main, seen], axis=1)
    group, owner = np.zeros(len(placed), np.int64), []
    for source in np.unique(owners):
        members = np.flatnonzero(owners == source)
        count = min(groups, len(members))
        # Groups are found in the directions in which the images differ most.
        leading = PCA(min(GROUPING_COMPONENTS, *placed[members].shape), random_state=seed)
        clusters = KMeans(count, n_init=4, random_state=seed)
        group[members] = len(owner) + clusters.fit_predict(leading.fit_transform(placed[members]))
        owner += [source] * count
    means, whitening = _gaussians(placed, group)
    limits, names = np.ones(len(np.unique(owners))), _names(standard, owners)
    constants = (centre, scale, main, means, whitening, np.array(owner), limits, names)
    return OodScorer(*(constant.astype(np.float32) for constant in constants))


def _names(standard: Floats, owners: Rows) -> Floats:
    """A classifier of the sources, each with the same say; all zeros where there is one."""
    sources = len(np.unique(owners))
    if sources == 1:
        return np.zeros((standard.shape[1] + 1, 1))
    model = LogisticRegression(C=NAMING_PENALTY, class_weight="balanced", max_iter=300)
    model.fit(standard, owners)
    weights, bias = model.coef_.T, model.intercept_[np.newaxis]
    if sources == 2:  # One line for two.
        weights, bias = np.hstack([-weights, weights]) / 2, np.hstack([-bias, bias]) / 2
    return np.vstack([weights, bias])


def _gaussians(placed: Floats, group: Rows) -> tuple[Floats, Floats]:
    numbers = range(group.max() + 1)
    means = np.stack([placed[group == number].mean(axis=0) for number in numbers])
    residual = placed - means[group]
    shared = SHARED_COVARIANCE * residual.T @ residual / len(residual)
    whitening = []
    for own in (residual[group == number] for number in numbers):
        covariance = (1 - SHARED_COVARIANCE) * own.T @ own / len(own) + shared
        values, vectors = np.linalg.eigh(covariance)
        floor = COVARIANCE_FLOOR * values.mean()
        whitening.append(vectors / np.sqrt(np.maximum(values, 0) + floor))
    return means, np.stack(whitening)
