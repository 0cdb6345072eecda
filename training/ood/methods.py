"""Other ways to tell unfamiliar images, for comparison with the one that is served."""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler, normalize

from training.ood.descriptor import THUMBNAIL
from training.ood.fit import Embedded

Classes = NDArray[np.int64]
Score = Callable[[Embedded], NDArray[np.floating]]
"""Higher is stranger; shape (images,)."""
Fit = Callable[[Embedded, Classes], Score]

NEIGHBOURS_AMONG = 1000
NEIGHBOUR = 5
# Of the variance; what is left over is the null space of ViM and the autoencoder's error.
EXPLAINED = 0.95


def energy(_training: Embedded, _classes: Classes) -> Score:
    """The free energy of the logits.

    Source: Liu 2020, Energy-based Out-of-distribution Detection.
    """
    return lambda images: -logsumexp(images.logits, axis=1)


def mahalanobis(training: Embedded, classes: Classes) -> Score:
    """The distance to the nearest class in the network's features.

    Source: Lee 2018, A Simple Unified Framework for Detecting Out-of-Distribution Samples.
    """
    means = _class_means(training.features, classes)
    shape = LedoitWolf(assume_centered=True).fit(training.features - means[classes])
    return lambda images: np.min(
        [shape.mahalanobis(images.features - mean) for mean in means], axis=0
    )


def relative_mahalanobis(training: Embedded, classes: Classes) -> Score:
    """That distance, less the distance to all classes taken together.

    Source: Ren 2021, A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection.
    """
    to_class, whole = mahalanobis(training, classes), LedoitWolf().fit(training.features)
    return lambda images: to_class(images) - whole.mahalanobis(images.features)


def nearest_neighbour(training: Embedded, _classes: Classes) -> Score:
    """The distance to the fifth nearest of a thousand training images, features of unit length.

    Source: Sun 2022, Out-of-Distribution Detection with Deep Nearest Neighbors.
    """
    chosen = np.linspace(0, len(training.features) - 1, NEIGHBOURS_AMONG).astype(int)
    known = normalize(training.features[np.unique(chosen)])
    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOUR, len(known))).fit(known)
    return lambda images: neighbours.kneighbors(normalize(images.features))[0][:, -1]


def virtual_logit(training: Embedded, _classes: Classes) -> Score:
    """What the features have outside the training images' main directions, against the energy.

    Source: Wang 2022, ViM: Out-Of-Distribution with Virtual-logit Matching.
    """
    main = PCA(EXPLAINED, svd_solver="full").fit(training.features)
    outside = _reconstruction_error(main, training.features)
    weight = training.logits.max(axis=1).mean() / outside.mean()
    return lambda images: (
        weight * _reconstruction_error(main, images.features) - logsumexp(images.logits, axis=1)
    )


def autoencoder(training: Embedded, _classes: Classes) -> Score:
    """The reconstruction error of a linear autoencoder of the thumbnail."""
    main = PCA(EXPLAINED, svd_solver="full").fit(_thumbnails(training))
    return lambda images: _reconstruction_error(main, _thumbnails(images))


def description(training: Embedded, _classes: Classes) -> Score:
    """One Gaussian of the image's description, without the network."""
    scaler = StandardScaler().fit(training.numbers)
    shape = LedoitWolf().fit(scaler.transform(training.numbers))
    return lambda images: shape.mahalanobis(scaler.transform(images.numbers))


METHODS = MappingProxyType(
    {
        "energy": energy,
        "Mahalanobis": mahalanobis,
        "relative Mahalanobis": relative_mahalanobis,
        "k-nearest neighbours": nearest_neighbour,
        "ViM": virtual_logit,
        "autoencoder": autoencoder,
        "description alone": description,
    }
)


def _class_means(features: NDArray[np.float32], classes: Classes) -> NDArray[np.float32]:
    return np.stack([features[classes == c].mean(axis=0) for c in range(classes.max() + 1)])


def _reconstruction_error(main: PCA, values: NDArray[np.float32]) -> NDArray[np.floating]:
    return np.linalg.norm(values - main.inverse_transform(main.transform(values)), axis=1)


def _thumbnails(images: Embedded) -> NDArray[np.float32]:
    return images.numbers[:, : THUMBNAIL * THUMBNAIL]
