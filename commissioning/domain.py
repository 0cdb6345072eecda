"""Where a site's images lie among the frozen features, and how far from there an image is."""

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GroupKFold

from commissioning.graph import SiteDomain
from commissioning.measure import Measured
from contract.manifest import ModelManifest

FAMILIAR = 0.98
"""The share of the site's own images that its limit lets through."""
_DIRECTIONS = 32
_FOLDS = 5


def fit_domain(
    measured: Measured, patients: NDArray[np.str_], manifest: ModelManifest
) -> SiteDomain:
    """Describe where the site's images lie among the frozen features.

    The limit comes from patients that the place was not fitted on; that of the model's own score
    is at least the manifest's.

    Source: Lee et al. 2018 (Mahalanobis distance of features); Ledoit and Wolf 2004.
    """
    embedding = measured.embedding.astype(np.float64)
    distances = np.zeros(len(embedding))
    for train, test in GroupKFold(_FOLDS).split(embedding, groups=patients):
        centre, whitening = _place(embedding[train])
        distances[test] = np.sqrt((((embedding[test] - centre) @ whitening) ** 2).mean(1))
    centre, whitening = _place(embedding)
    shipped = manifest.out_of_distribution
    own = max(shipped.limit if shipped else 0.0, float(np.quantile(measured.ood_score, FAMILIAR)))
    return SiteDomain(
        centre.astype(np.float32),
        whitening.astype(np.float32),
        float(np.quantile(distances, FAMILIAR)),
        own,
    )


def shares(domain: SiteDomain, measured: Measured) -> NDArray[np.float64]:
    """The score of each image as the site's graph gives it: 1 is the limit."""
    placed = (measured.embedding - domain.centre) @ domain.whitening
    own = np.sqrt((placed**2).mean(1)) / domain.limit
    if domain.model_limit:
        own = np.maximum(own, measured.ood_score / domain.model_limit)
    return np.asarray(own, np.float64)


def _place(embedding: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The centre (d,) and the whitening (d, k) along the directions in which images differ most."""
    covariance = LedoitWolf().fit(embedding)
    values, vectors = np.linalg.eigh(covariance.covariance_)
    kept = min(_DIRECTIONS, max(1, len(embedding) // 10))
    return covariance.location_, vectors[:, -kept:] / np.sqrt(values[-kept:])
