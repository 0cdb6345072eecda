"""What a site may make of a model, from the simplest to the least simple.

All are a linear layer before a softmax, so that each can be a graph, and all are fitted alike:
logistic regression, drawn towards where it starts. They know only the findings that the site has
shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils.class_weight import compute_sample_weight

from commissioning.graph import Head, Source
from commissioning.measure import Measured
from contract.manifest import ModelManifest

Array = NDArray[np.float64]
Weights = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights (channels, classes) and bias (classes,)."""

AS_SHIPPED = "as shipped"
SOURCES: Mapping[str, Source] = {
    AS_SHIPPED: "logits",
    "recalibrated": "logits",
    "last layer refitted": "pooled",
    "local head": "embedding",
}
"""What each candidate is put on, in order of simplicity."""
INNER_FOLDS = 4
# How strongly a fit is drawn towards its start; scikit-learn's C is one over it.
_DRAWS = (1.0, 10.0, 100.0, 1000.0, 10000.0)
_STEPS = 200


@dataclass(frozen=True, slots=True)
class Fitted:
    """A candidate that can answer."""

    name: str
    head: Head
    operating_points: tuple[float, ...]

    def probabilities(self, measured: Measured) -> Array:
        """Calibrated, float64 (n, classes of the site)."""
        source = getattr(measured, self.head.source)
        return np.asarray(softmax(source @ self.head.weights + self.head.bias, axis=1), np.float64)


@dataclass(frozen=True, slots=True)
class Shipped:
    """The model as it ships, and which of its classes the site has shown.

    ``last_layer`` is None where its graph has none to refit.
    """

    manifest: ModelManifest
    last_layer: Weights | None
    columns: tuple[int, ...]

    @property
    def candidates(self) -> tuple[str, ...]:
        """Which candidates there are."""
        return tuple(n for n, on in SOURCES.items() if on != "pooled" or self.last_layer)

    def start(self, source: Source, channels: int) -> Weights:
        """Where a fit on this source starts: at what the model says, or at nothing."""
        columns, temperature = list(self.columns), np.float32(self.manifest.temperature)
        nothing = np.zeros(len(columns), np.float32)
        if source == "embedding":
            return np.zeros((channels, len(columns)), np.float32), nothing
        if source == "logits" or self.last_layer is None:
            return np.eye(channels, dtype=np.float32)[:, columns] / temperature, nothing
        weights, bias = self.last_layer
        return weights[:, columns] / temperature, bias[columns] / temperature


def fit(
    name: str,
    measured: Measured,
    classes: NDArray[np.int64],
    patients: NDArray[np.str_],
    shipped: Shipped,
    floor: float,
) -> Fitted:
    """Fit one of ``SOURCES``, with operating points from patients that it was not fitted on.

    ``classes`` are the images' findings, indices into the columns of ``shipped``; ``floor`` is the
    share of its calls that shall be right, 0 to 1.
    """
    on = SOURCES[name]
    source = np.asarray(getattr(measured, on), np.float64)
    start = shipped.start(on, source.shape[1])
    if name == AS_SHIPPED:
        points = tuple(shipped.manifest.operating_points[column] for column in shipped.columns)
        return Fitted(name, Head(on, shipped.columns, *start), points)
    folds = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=0)
    kept_out = np.zeros((len(_DRAWS), len(classes), len(shipped.columns)))
    for train, test in folds.split(source, classes, patients):
        for i, strength in enumerate(_DRAWS):
            weights, bias = _drawn_regression(source[train], classes[train], start, strength)
            kept_out[i, test] = log_softmax(source[test] @ weights + bias, axis=1)
    right = kept_out[:, np.arange(len(classes)), classes]
    likelihood = right @ compute_sample_weight("balanced", classes)
    best = int(likelihood.argmax())
    weights, bias = _drawn_regression(source, classes, start, _DRAWS[best])
    points = choose_points(classes, np.exp(kept_out[best]), floor)
    return Fitted(name, Head(on, shipped.columns, weights, bias), points)


def choose_points(
    classes: NDArray[np.int64], probabilities: Array, floor: float
) -> tuple[float, ...]:
    """For each finding the least probability from which its calls are right often enough.

    The aim is halfway between ``floor`` and 1, so that chance does not fall below the floor. A
    finding whose calls are never right often enough gets 1: it is not called.
    """
    aim, points = (1 + floor) / 2, []
    for column in range(probabilities.shape[1]):
        order = np.argsort(-probabilities[:, column])
        scores = probabilities[order, column]
        right = np.cumsum(classes[order] == column) / np.arange(1, len(order) + 1)
        good = np.flatnonzero((right >= aim) & (scores >= 1 / probabilities.shape[1]))
        points.append(float(scores[good[-1]]) if len(good) else 1.0)
    return tuple(points)


def _drawn_regression(
    source: Array, classes: NDArray[np.int64], start: Weights, strength: float
) -> Weights:
    """Logistic regression, classes balanced, drawn towards its start; scikit-learn's to zero."""
    count = len(start[1])
    # In the units of each feature's spread, so that one penalty suits all.
    centre, spread = source.mean(0), source.std(0) + 1e-6
    scaled, begin = (source - centre) / spread, source @ start[0] + start[1]
    weight, truth = compute_sample_weight("balanced", classes), np.eye(count)[classes]

    def loss(flat: Array) -> tuple[float, Array]:
        moved, bias = flat[:-count].reshape(-1, count), flat[-count:]
        log = log_softmax(begin + scaled @ moved + bias, axis=1)
        penalty = strength / len(classes) * moved
        slope = weight[:, np.newaxis] * (np.exp(log) - truth) / len(classes)
        value = -(weight * (log * truth).sum(1)).mean() + (penalty * moved).sum() / 2
        steps = scaled.T @ slope + penalty
        return float(value), np.concatenate([steps.ravel(), slope.sum(0)])

    nothing = np.zeros((source.shape[1] + 1) * count)
    found = minimize(loss, nothing, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}).x
    moved = found[:-count].reshape(-1, count) / spread[:, np.newaxis]
    bias = start[1] + found[-count:] - centre @ moved
    return (start[0] + moved).astype(np.float32), bias.astype(np.float32)
