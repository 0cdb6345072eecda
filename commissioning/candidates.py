"""What a site may make of a model, from the simplest to the least simple.

All end in the same form, a linear layer before a softmax, so that each can be a graph. They know
only the findings that the site has shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from commissioning.graph import Head
from commissioning.measure import Measured
from contract.manifest import ModelManifest

Array = NDArray[np.float64]
Weights = tuple[NDArray[np.float32], NDArray[np.float32]]

NAMES = ("as shipped", "recalibrated", "last layer refitted", "local head")
"""In order of simplicity."""
INNER_FOLDS = 4
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
_DRAWS = (0.3, 3.0, 30.0, 300.0)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A candidate that can answer; ``last_layer`` replaces the model's where it is not None."""

    name: str
    head: Head
    operating_points: tuple[float, ...]
    last_layer: Weights | None = None

    def logits(self, measured: Measured) -> Array:
        """Calibrated logits, float64 (n, classes of the site)."""
        if self.head.source == "embedding":
            source = measured.embedding
        elif self.last_layer is None:
            source = measured.logits
        else:
            weights, bias = self.last_layer
            source = measured.pooled @ weights.T + bias
            source = source - source.mean(1, keepdims=True)
        return np.asarray(source @ self.head.weights + self.head.bias, np.float64)


def fit(
    name: str,
    measured: Measured,
    classes: NDArray[np.int64],
    patients: NDArray[np.str_],
    columns: Sequence[int],
    shipped: "Shipped",
    floor: float,
) -> Fitted:
    """Fit one candidate, with operating points from patients that its layer was not fitted on.

    Args:
        name: One of ``NAMES``.
        measured: The images to fit it on.
        classes: Their findings, indices into ``columns``.
        patients: Their patients.
        columns: Which of the model's classes the site has shown.
        shipped: What the model brings along.
        floor: How many of its calls shall be right, 0 to 1.
    """
    manifest = shipped.manifest
    select = np.zeros((len(manifest.labels), len(columns)), np.float32)
    select[list(columns), range(len(columns))] = 1
    identity = np.eye(len(columns), dtype=np.float32)
    if name == "as shipped":
        nothing = np.zeros(len(columns), np.float32)
        head = Head("logits", select / np.float32(manifest.temperature), nothing)
        return Fitted(name, head, tuple(manifest.operating_points[column] for column in columns))
    layer = None
    if name == "recalibrated":
        source, weights, kept_out = "logits", select, measured.logits @ select
    elif name == "last layer refitted" and shipped.last_layer is not None:
        source, weights = "logits", select
        layer, kept_out = _refitted(measured, classes, patients, select, shipped.last_layer)
    else:
        source = "embedding"
        (rows, bias), kept_out = _local_head(measured.embedding, classes, patients)
        weights = rows.T
    calibration = _recalibrated(np.asarray(kept_out, np.float64), identity, classes)
    offset = bias @ calibration.weights if source == "embedding" else 0
    head = Head(
        source,
        np.asarray(weights @ calibration.weights, np.float32),
        np.asarray(offset + calibration.bias, np.float32),
    )
    calibrated = softmax(kept_out @ calibration.weights + calibration.bias, axis=1)
    return Fitted(name, head, choose_points(classes, calibrated, floor), layer)


def choose_points(
    classes: NDArray[np.int64], probabilities: Array, floor: float
) -> tuple[float, ...]:
    """For each finding the least probability from which its calls are right often enough.

    The aim lies halfway between the floor and 1, so that chance does not fall below the floor. A
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


@dataclass(frozen=True, slots=True)
class Shipped:
    """The model as it ships; ``last_layer`` is None where its graph has none to refit."""

    manifest: ModelManifest
    last_layer: Weights | None

    @property
    def candidates(self) -> tuple[str, ...]:
        """Which candidates there are."""
        return tuple(n for n in NAMES if n != NAMES[2] or self.last_layer is not None)


def _recalibrated(logits: Array, select: NDArray[np.float32], classes: NDArray[np.int64]) -> Head:
    """One scale and one bias for each class, by maximum likelihood with balanced classes."""
    seen = logits @ select
    weight = _balanced(classes, seen.shape[1])

    def loss(parameters: Array) -> float:
        scaled = np.exp(parameters[0]) * seen + parameters[1:]
        likelihood = log_softmax(scaled, axis=1)[np.arange(len(classes)), classes]
        return float(-(weight * likelihood).mean() + 1e-3 * (parameters**2).sum())

    found = minimize(loss, np.zeros(1 + seen.shape[1]), method="L-BFGS-B").x
    return Head(
        "logits", np.asarray(np.exp(found[0]) * select, np.float32), found[1:].astype(np.float32)
    )


def _refitted(
    measured: Measured,
    classes: NDArray[np.int64],
    patients: NDArray[np.str_],
    select: NDArray[np.float32],
    shipped: Weights,
) -> tuple[Weights, Array]:
    """The last layer, drawn towards the shipped one, and its logits of patients kept out."""
    pooled = measured.pooled

    def layer(index: NDArray[np.int64], draw: float) -> Weights:
        return _towards(pooled[index], classes[index], select, shipped, draw)

    def answer(weights: Weights, index: NDArray[np.int64]) -> Array:
        return np.asarray((pooled[index] @ weights[0].T + weights[1]) @ select, np.float64)

    return _choose(_DRAWS, layer, answer, classes, patients)


def _choose(
    settings: Sequence[float],
    layer: Callable[[NDArray[np.int64], float], Weights],
    answer: Callable[[Weights, NDArray[np.int64]], Array],
    classes: NDArray[np.int64],
    patients: NDArray[np.str_],
) -> tuple[Weights, Array]:
    """The layer with the best setting, and what it says of patients that it was not fitted on.

    Returns:
        The layer, fitted on all; logits float64 (n, classes), each from a fold kept out.
    """
    folds = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=0)
    kept_out: dict[float, Array] = {}
    for setting in settings:
        logits = np.zeros((len(classes), classes.max() + 1))
        for train, test in folds.split(classes, classes, patients):
            logits[test] = answer(layer(train, setting), test)
        kept_out[setting] = logits
    best = min(kept_out, key=lambda setting: _log_loss(kept_out[setting], classes))
    return layer(np.arange(len(classes)), best), kept_out[best]


def _towards(
    pooled: NDArray[np.float32],
    classes: NDArray[np.int64],
    select: NDArray[np.float32],
    shipped: Weights,
    draw: float,
) -> Weights:
    """Logistic regression whose penalty is the distance from the shipped weights."""
    weights, bias = shipped
    rows = select.argmax(0)
    # In the units of each feature's spread, so that one penalty suits all.
    scale = pooled.std(0) + 1e-6
    start = pooled @ weights[rows].T + bias[rows]
    scaled = (pooled - pooled.mean(0)) / scale
    weight = _balanced(classes, len(rows))
    shape = (pooled.shape[1], len(rows))
    onehot = np.eye(len(rows))[classes]

    def loss(flat: Array) -> tuple[float, Array]:
        moved = flat[: -len(rows)].reshape(shape)
        logits = start + scaled @ moved + flat[-len(rows) :]
        log = log_softmax(logits, axis=1)
        gradient = weight[:, np.newaxis] * (np.exp(log) - onehot) / len(classes)
        penalty = draw / len(classes)
        value = -(weight * (log * onehot).sum(1)).mean() + penalty * (moved**2).sum() / 2
        steps = scaled.T @ gradient + penalty * moved
        return float(value), np.concatenate([steps.ravel(), gradient.sum(0)])

    found = minimize(loss, np.zeros(shape[0] * shape[1] + len(rows)), jac=True, method="L-BFGS-B").x
    moved = found[: -len(rows)].reshape(shape) / scale[:, np.newaxis]
    new_weights, new_bias = weights.copy(), bias.copy()
    new_weights[rows] += moved.T.astype(np.float32)
    new_bias[rows] += (found[-len(rows) :] - pooled.mean(0) @ moved).astype(np.float32)
    return new_weights, new_bias


def _local_head(
    embedding: NDArray[np.float32], classes: NDArray[np.int64], patients: NDArray[np.str_]
) -> tuple[Weights, Array]:
    """Logistic regression on the frozen features, and its logits of patients kept out."""

    def layer(index: NDArray[np.int64], penalty: float) -> Weights:
        centre, scale = embedding[index].mean(0), embedding[index].std(0) + 1e-6
        model = LogisticRegression(C=penalty, class_weight="balanced", solver="newton-cholesky")
        model.fit((embedding[index] - centre) / scale, classes[index])
        weights, bias = model.coef_ / scale, model.intercept_
        if len(weights) == 1:  # One line for two classes.
            weights, bias = np.vstack([-weights, weights]) / 2, np.hstack([-bias, bias]) / 2
        return weights.astype(np.float32), (bias - weights @ centre).astype(np.float32)

    def answer(weights: Weights, index: NDArray[np.int64]) -> Array:
        return np.asarray(embedding[index] @ weights[0].T + weights[1], np.float64)

    return _choose(_PENALTIES, layer, answer, classes, patients)


def _balanced(classes: NDArray[np.int64], count: int) -> Array:
    found = np.bincount(classes, minlength=count)
    return np.asarray(len(classes) / (count * np.maximum(found, 1)))[classes]


def _log_loss(logits: Array, classes: NDArray[np.int64]) -> float:
    log = log_softmax(logits, axis=1)[np.arange(len(classes)), classes]
    return float(-(_balanced(classes, logits.shape[1]) * log).mean())
