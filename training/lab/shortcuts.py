"""How well simple properties, which show no anatomy, give the class away by themselves.

A property may separate the classes a little over most images, which its AUROC shows; or of few
images with certainty, as a tint that only some images of one class have, which single values show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier

from training.metrics import Weights, auroc, estimate, patient_bootstrap, whole

# A pixel of colour may be a marker's; above this share of them an image is tinted.
TINTED_SHARE = 0.01
# What fewer groups have in common may be chance, however pure it is.
LEAST_GROUPS = 5
# A property counts as a shortcut where even the lower end of its interval lies above.
LIMIT = 0.60
SEED = 20261120
FOLDS = 5
DEPTH = 3
LEAST_LEAF = 5
RESAMPLES = 400
# More images would make the intervals narrower than anybody needs, and the weights large.
MAX_IMAGES = 20_000

# By name the columns of a survey that carry it.
PROPERTIES: dict[str, tuple[str, ...]] = {
    "source": ("source",),
    "image size": ("rows", "columns"),
    "aspect ratio": ("aspect",),
    "file format": ("format",),
    "colour mode": ("mode",),
    "bit depth": ("bits",),
    "colour tint": ("coloured", "tint"),
    "JPEG quality": ("jpeg_quality",),
    "file size": ("bytes", "bytes_per_pixel"),
    "mean gray": ("mean_gray",),
    "contrast": ("contrast",),
    "border brightness": ("border_gray", "border_black"),
}
FOLLOWS_DISEASE = frozenset({"file size", "mean gray", "contrast"})
"""What the disease itself may change."""

Floats = NDArray[np.float64]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class ClassSignal:
    """How well a property alone tells one class from the others; 0.5 is chance.

    ``lower`` and ``upper`` are the 95 % interval under another draw of groups of images.
    """

    label: str
    auroc: float
    lower: float
    upper: float

    @property
    def is_shortcut(self) -> bool:
        """Whether the property tells the class too well to be let pass."""
        return self.lower > LIMIT


@dataclass(frozen=True, slots=True)
class Property:
    """What a simple property of the images says about each class.

    ``balanced_accuracy`` is that of guessing the class, with chance at one over the number of
    classes. ``follows_disease`` marks what the disease itself may change.
    """

    name: str
    follows_disease: bool
    balanced_accuracy: float
    signals: tuple[ClassSignal, ...]


@dataclass(frozen=True, slots=True)
class ShortcutValue:
    """A value that leaves little doubt of the class: of ``images`` that have it, ``of_label``.

    ``value`` is empty for a property that an image has or has not; ``share_of_all`` is the share of
    the class among all images.
    """

    property: str
    value: str
    label: str
    images: int
    of_label: int
    share_of_all: float


def measure_properties(table: pd.DataFrame) -> tuple[Property, ...]:
    """Let a shallow decision tree guess the class from each property alone.

    It guesses for groups of images that it has not seen, and every class counts the same. The
    strongest property comes first.

    Args:
        table: Of a ``Survey``.

    Returns:
        Nothing where there is but one class, or a class of fewer groups than folds: what tells a
        class cannot then be told from what tells a patient.
    """
    sampled = table.sample(min(len(table), MAX_IMAGES), random_state=SEED)
    groups = sampled.groupby("label")["group"].nunique()
    if len(groups) < 2 or groups.min() < FOLDS:
        return ()
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    folds = list(splitter.split(sampled, sampled["label"], sampled["group"]))
    weights = patient_bootstrap(sampled["group"].to_numpy(str), SEED, RESAMPLES)
    classes, truth = np.unique(sampled["label"].to_numpy(str), return_inverse=True)
    measured = []
    for name, columns in PROPERTIES.items():
        features = pd.get_dummies(sampled[list(columns)]).fillna(-1).to_numpy(np.float64)
        scores = _guesses(features, truth, folds)
        signals = tuple(
            _signal(str(label), scores[:, number], truth == number, folds, weights)
            for number, label in enumerate(classes)
        )
        accuracy = balanced_accuracy_score(truth, scores.argmax(axis=1))
        measured.append(Property(name, name in FOLLOWS_DISEASE, float(accuracy), signals))
    return tuple(sorted(measured, key=lambda one: -max(signal.auroc for signal in one.signals)))


def find_shortcut_values(table: pd.DataFrame) -> tuple[ShortcutValue, ...]:
    """Find the values that, where an image has them, leave little doubt of its class.

    Even at the lower end of the interval, at least half of the doubt that the class's own frequency
    leaves must be gone. Images of one group count as one piece of evidence.

    Args:
        table: Of a ``Survey``.
    """
    base = table["label"].value_counts(normalize=True)
    tinted = table["coloured"].fillna(0) > TINTED_SHARE
    listed = {
        "colour tint": tinted.map({True: ""}),
        "colour mode": table["mode"],
        "file format": table["format"],
        "bit depth": table["bits"].astype(str),
        "image size": table["columns"].astype(str) + " x " + table["rows"].astype(str),
    }
    found = []
    for name, values in listed.items():
        for value, images in table.groupby(values):
            groups, labels = images["group"].nunique(), images["label"].value_counts()
            label, share = labels.idxmax(), labels.max() / len(images)
            lower = binomtest(round(share * groups), groups).proportion_ci(method="wilson").low
            if groups >= LEAST_GROUPS and lower > (1 + base[label]) / 2:
                counts = (len(images), int(labels.max()), float(base[label]))
                found.append(ShortcutValue(name, str(value), str(label), *counts))
    return tuple(found)


def _guesses(features: Floats, truth: NDArray[np.int64], folds: Sequence[Fold]) -> Floats:
    """The probabilities for each image, shape (images, classes), from trees that never saw it."""
    scores = np.zeros((len(truth), truth.max() + 1))
    for seen, unseen in folds:
        tree = DecisionTreeClassifier(
            max_depth=DEPTH,
            min_samples_leaf=LEAST_LEAF,
            class_weight="balanced",
            random_state=SEED,
        ).fit(features[seen], truth[seen])
        scores[np.ix_(unseen, tree.classes_)] = tree.predict_proba(features[unseen])
    return scores


def _signal(
    label: str, scores: Floats, truth: NDArray[np.bool_], folds: Sequence[Fold], weights: Weights
) -> ClassSignal:
    """The mean AUROC over folds.

    Each fold has a tree of its own. Compared across folds, the scores of what is the same would
    differ a little, and against the truth: a tree gives less to a class of which it saw less.
    """

    def mean(weights: Weights) -> Floats:
        each = np.stack([auroc(scores[of], truth[of], weights[:, of]) for _, of in folds])
        known = np.isfinite(each)
        total = np.where(known, each, 0).sum(axis=0)
        return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), 0.5)

    found = estimate(mean(whole(len(truth))), mean(weights))
    return ClassSignal(label, found.value, found.lower, found.upper)
