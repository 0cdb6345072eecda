"""A last layer for each source that shows several findings, chosen inside the graph by likeness.

One pooled layer averages the sources away: what tells two findings apart at one hospital is not
what tells them apart at another. A source of one finding has no evidence, and the pooled layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from contract.findings import Label
from training.config import Recipe
from training.metrics import auroc, estimate, patient_bootstrap
from training.ood import FIT_IMAGES, OodScorer, scorer_of

Floats = NDArray[np.floating]
Layer = tuple[Floats, Floats]
"""Weights, shape (features, classes), and bias, shape (classes,)."""

OTHERS = "others"
"""The name that sources with few images share."""
LEAST_IMAGES = 10
"""Of a finding in a source's validation images, before it counts as shown there."""
PENALTIES = (3e-4, 3e-3, 3e-2)
SIMPLER = 0.01
"""An own layer is taken where its loss is lower by more than this share of the pooled one's."""
CALIBRATION_PENALTY = 0.01
FAMILIAR = 0.98
"""The share of a source's own validation images that its limit lets through."""


class Embedded(NamedTuple):
    """Images as the last layer and the score of the unfamiliar see them.

    ``features`` float32 (images, features); ``described`` float32 (images, numbers); ``classes``
    and ``owners`` int (images,): the finding, and the source; ``patients`` (images,).
    """

    features: Floats
    described: Floats
    classes: NDArray[np.int64]
    owners: NDArray[np.int64]
    patients: NDArray[np.str_]

    def of(self, rows: NDArray[np.bool_] | slice) -> "Embedded":
        """Some of the images."""
        return Embedded(*(part[rows] for part in self))

    def and_also(self, others: "Embedded") -> "Embedded":
        """These images, and others behind them."""
        return Embedded(*map(np.concatenate, zip(self, others, strict=True)))


@dataclass(frozen=True, slots=True)
class SourceHeads:
    """The last layers: ``weights`` (sources, features, classes) and ``bias`` (sources, classes).

    Both are float32. ``shown``, bool (sources, classes), says which findings the model was shown to
    tell apart.
    """

    weights: Floats
    bias: Floats
    shown: NDArray[np.bool_]

    def logits(self, features: Floats, owners: NDArray[np.int64]) -> Floats:
        """Logits (images, classes) of pooled features by the layer of each image's source."""
        chosen = np.einsum("if,ifc->ic", features, self.weights[owners], optimize=True)
        return chosen + self.bias[owners]


@dataclass(frozen=True, slots=True)
class Border:
    """What a calibration knows of sources: their ``names`` and their ``heads``.

    ``owners``, int (validation images,), is the source of each, or -1; where there are several
    shifts, of the images under one after the other.
    """

    names: tuple[str, ...]
    heads: SourceHeads
    owners: NDArray[np.int64]

    def as_answered(self, distances: Floats) -> "Border":
        """With the source that each image is answered by; -1 where it is referred for want of one.

        ``distances`` are those of the images from each source, shape (images, sources).
        """
        nearest = distances.argmin(axis=1)
        answered = (distances.min(axis=1) <= 1) & self.heads.shown.any(axis=1)[nearest]
        return replace(self, owners=np.where(answered, nearest, -1))

    def findings(self, classes: Sequence[Label]) -> dict[str, tuple[Label, ...]]:
        """The findings that the model was shown to tell apart, by source."""
        labels = np.array(classes)
        rows = zip(self.names, self.heads.shown, strict=True)
        return {name: tuple(labels[shown].tolist()) for name, shown in rows}


class SourceEvidence(keras.layers.Layer):
    """The map of evidence by the layer of the nearest source. It is exported, never saved."""

    def __init__(self, heads: SourceHeads, **kwargs: Any) -> None:  # noqa: ANN401 - Keras's own signature
        super().__init__(dtype="float32", **kwargs)
        self.heads = heads

    def call(self, features: keras.KerasTensor, distances: keras.KerasTensor) -> keras.KerasTensor:
        """From features (batch, rows, columns, features) and distances (batch, sources)."""
        sources, depth, classes = self.heads.weights.shape
        rows, columns = features.shape[1:3]
        # The position of a minimum would leave ONNX an operation that it does not know.
        least = ops.min(distances, axis=-1, keepdims=True)
        chosen = ops.cast(ops.equal(distances, least), "float32")
        flat = self.heads.weights.reshape(sources, depth * classes)
        weights = ops.reshape(ops.matmul(chosen, flat), (-1, depth, classes))
        bias = ops.expand_dims(ops.matmul(chosen, self.heads.bias), 1)
        places = ops.reshape(features, (-1, rows * columns, depth))
        evidence = ops.matmul(places, weights) + bias
        return ops.reshape(evidence, (-1, rows, columns, classes))


def numbered(sources: NDArray[np.str_], names: Sequence[str]) -> NDArray[np.int64]:
    """The number of each image's source; one without a name counts to the last, the others."""
    known = {name: number for number, name in enumerate(names)}
    return np.array([known.get(source, len(names) - 1) for source in sources.tolist()], np.int64)


def place_sources(train: Embedded, validation: Embedded, recipe: Recipe) -> OodScorer:
    """Fit how far an image is from each source, in the training images' random order.

    The validation images set the limits.
    """
    some, groups = train.of(slice(FIT_IMAGES)), recipe.calibration.ood_groups
    scorer = scorer_of(some.features, some.described, some.owners, groups, recipe)
    found = distances(scorer, validation)
    own = [found[validation.owners == number, number] for number in range(found.shape[1])]
    limits = [np.quantile(values, FAMILIAR) if len(values) else 1 for values in own]
    return replace(scorer, limits=np.array(limits, np.float32))


def distances(scorer: OodScorer, images: Embedded) -> Floats:
    """The distance of each image from each source, shape (images, sources)."""
    _, found = scorer.score(images.features, images.described)
    return np.asarray(ops.convert_to_numpy(found))


def fit_heads(
    train: Embedded,
    validation: Embedded,
    pooled: Layer,
    sources: int,
    general: int,
    *,
    least_auroc: float,
    seed: int,
) -> SourceHeads:
    """Fit and calibrate the layer of each source.

    A source has the ``pooled`` layer, which the network was trained with, or one of its own where
    the validation images prefer it: on the ``general`` last features, which the training has left
    as they were. Either is calibrated on them: one scale, and one bias for each finding. Where a
    source shows nothing, its images have the pooled layer as all validation images calibrate it.
    """
    layers, shown = [], []
    everywhere, _ = _calibrated(pooled, validation, np.arange(len(pooled[1])))
    for source in range(sources):
        seen, known = validation.of(validation.owners == source), train.of(train.owners == source)
        classes = len(pooled[1])
        counts = np.bincount(seen.classes, minlength=classes)
        there = np.flatnonzero((counts >= LEAST_IMAGES) & np.isin(range(classes), known.classes))
        if len(there) < 2:
            layers.append(everywhere)
            shown.append(np.zeros(classes, bool))
            continue
        best, loss = _calibrated(pooled, seen, there)
        for penalty in PENALTIES if general else ():
            own = _own_layer(known, there, pooled, general, penalty)
            layer, found = _calibrated(own, seen, there)
            if found < loss * (1 - SIMPLER):
                best, loss = layer, found
        layers.append(best)
        shown.append(_lower_ends(best, seen, there, seed) >= least_auroc)
    weights, biases = zip(*layers, strict=True)
    return SourceHeads(
        np.stack(weights).astype(np.float32), np.stack(biases).astype(np.float32), np.stack(shown)
    )


def _own_layer(
    known: Embedded, there: NDArray[np.int64], pooled: Layer, general: int, penalty: float
) -> Layer:
    """Logistic regression on the general features, between the findings that the source shows."""
    rows = np.isin(known.classes, there)
    features = known.features[rows, -general:].astype(np.float64)
    centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    model = LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000)
    model.fit((features - centre) / scale, known.classes[rows])
    found, offset = model.coef_ / scale, model.intercept_
    if len(found) == 1:  # One line for two classes.
        found, offset = np.vstack([-found, found]) / 2, np.hstack([-offset, offset]) / 2
    # A finding that the source does not show is as far from the mean of those as in the pooled
    # layer: where it is the most probable one, the image is referred, and not given another one.
    weights, bias = (part - part[..., there].mean(axis=-1, keepdims=True) for part in pooled)
    weights[:, there] = 0
    weights[-general:, there] = found.T
    bias[there] = offset - found @ centre
    return weights, bias


def _calibrated(layer: Layer, seen: Embedded, there: NDArray[np.int64]) -> tuple[Layer, float]:
    """The layer with a scale, and a bias for each finding that is there; and its loss."""
    weights, bias = layer
    logits = seen.features @ weights + bias
    rows = np.arange(len(logits))

    def changed(parameters: Floats) -> tuple[float, Floats]:
        # The biases leave the mean of those findings where it is: on how probable any other
        # finding is, a source that lacks it says nothing.
        offset = np.zeros(len(bias))
        offset[there] = parameters[1:] - parameters[1:].mean()
        return float(np.exp(parameters[0])), offset

    def loss(parameters: Floats) -> float:
        scale, offset = changed(parameters)
        said = log_softmax(scale * logits + offset, axis=1)[rows, seen.classes]
        return float(-said.mean() + CALIBRATION_PENALTY * (parameters**2).sum())

    found = minimize(loss, np.zeros(1 + len(there)), method="L-BFGS-B")
    scale, offset = changed(found.x)
    return (scale * weights, scale * bias + offset), float(found.fun)


def _lower_ends(layer: Layer, seen: Embedded, there: NDArray[np.int64], seed: int) -> Floats:
    """The AUROC that each finding surely has within the source, 0 where it is not there."""
    weights, bias = layer
    logits = log_softmax(seen.features @ weights + bias, axis=1)
    draws = patient_bootstrap(seen.patients, seed)
    ends = np.zeros(len(bias))
    for label in there:
        ends[label] = estimate(auroc(logits[:, label], seen.classes == label, draws)).lower
    return ends
