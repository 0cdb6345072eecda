"""How well simple properties, which show no anatomy, tell the class by themselves.

A property may tell a class of most images a little, which its AUROC shows; or of few images with
certainty, as a tint that only some images of one class have, which single values show.
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

from training.explore.report import PropertyFacts, Telltale, Told
from training.metrics import Weights, auroc, estimate, patient_bootstrap, whole

# A pixel of colour may be a marker's; above this share of them an image is tinted.
TINTED_SHARE = 0.01
# What fewer groups have in common may be chance, however pure it is.
TELLTALE_GROUPS = 5
# A property counts as a shortcut where even the lower end of its interval lies above.
LIMIT = 0.60
SEED = 20261120
FOLDS = 5
DEPTH = 3
LEAST_LEAF = 5
RESAMPLES = 400
# More images would make the intervals narrower than anybody needs, and the weights large.
MAX_IMAGES = 20_000
CHANCE = 0.5

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Property:
    """A property of an image, by the columns of a survey that carry it."""

    name: str
    columns: tuple[str, ...]
    follows_disease: bool = False


PROPERTIES = (
    Property("source", ("source",)),
    Property("image size", ("rows", "columns")),
    Property("aspect ratio", ("aspect",)),
    Property("file format", ("format",)),
    Property("colour mode", ("mode",)),
    Property("bit depth", ("bits",)),
    Property("colour tint", ("coloured", "tint")),
    Property("JPEG quality", ("jpeg_quality",)),
    Property("file size", ("bytes", "bytes_per_pixel"), follows_disease=True),
    Property("mean gray", ("mean_gray",), follows_disease=True),
    Property("contrast", ("contrast",), follows_disease=True),
    Property("border brightness", ("border_gray", "border_black")),
)


def measure_properties(table: pd.DataFrame) -> tuple[PropertyFacts, ...]:
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
    folds = _folds(sampled)
    if not folds:
        return ()
    weights = patient_bootstrap(sampled["group"].to_numpy(str), SEED, RESAMPLES)
    measured = [_measure(each, sampled, folds, weights) for each in PROPERTIES]
    return tuple(sorted(measured, key=lambda facts: -max(told.auroc for told in facts.told)))


def is_shortcut(told: Told) -> bool:
    """Whether a property tells a class too well to be let pass."""
    return told.lower > LIMIT


def find_telltales(table: pd.DataFrame) -> tuple[Telltale, ...]:
    """Find the values that, where an image has them, leave little doubt of its class.

    Even at the lower end of the interval, at least half of the doubt that the class's own frequency
    leaves must be gone. Images of one group count as one piece of evidence.

    Args:
        table: Of a ``Survey``.
    """
    base = table["label"].value_counts(normalize=True)
    return tuple(
        telltale
        for name, values in _values(table).items()
        for value, images in table.groupby(values)
        if images["group"].nunique() >= TELLTALE_GROUPS
        and (telltale := _telltale(name, str(value), images, base)) is not None
    )


def _values(table: pd.DataFrame) -> dict[str, pd.Series]:
    """What can be listed of each image; no value where there is nothing to see."""
    tinted = table["coloured"].fillna(0) > TINTED_SHARE
    return {
        "colour tint": tinted.map({True: ""}),
        "colour mode": table["mode"],
        "file format": table["format"],
        "bit depth": table["bits"].astype(str),
        "image size": table["columns"].astype(str) + " x " + table["rows"].astype(str),
    }


def _telltale(name: str, value: str, images: pd.DataFrame, base: pd.Series) -> Telltale | None:
    label = images["label"].value_counts().idxmax()
    of_label = int((images["label"] == label).sum())
    groups = images["group"].nunique()
    share = of_label / len(images)
    lower = binomtest(round(share * groups), groups).proportion_ci(method="wilson").low
    if lower <= (1 + base[label]) / 2:
        return None
    return Telltale(
        property=name,
        value=value,
        label=str(label),
        images=len(images),
        of_label=of_label,
        share_of_all=base[label],
    )


def _folds(table: pd.DataFrame) -> list[Fold]:
    groups = table.groupby("label")["group"].nunique()
    if len(groups) < 2 or groups.min() < FOLDS:
        return []
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    return list(splitter.split(table, table["label"], table["group"]))


def _measure(
    each: Property, table: pd.DataFrame, folds: Sequence[Fold], weights: Weights
) -> PropertyFacts:
    features = pd.get_dummies(table[list(each.columns)]).fillna(-1).to_numpy(np.float64)
    classes, truth = np.unique(table["label"].to_numpy(str), return_inverse=True)
    scores = _guesses(features, truth, folds)
    return PropertyFacts(
        name=each.name,
        follows_disease=each.follows_disease,
        balanced_accuracy=balanced_accuracy_score(truth, scores.argmax(axis=1)),
        told=tuple(
            _told(str(label), scores[:, number], truth == number, folds, weights)
            for number, label in enumerate(classes)
        ),
    )


def _guesses(
    features: NDArray[np.float64], truth: NDArray[np.int64], folds: Sequence[Fold]
) -> NDArray[np.float64]:
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


def _told(
    label: str,
    scores: NDArray[np.float64],
    truth: NDArray[np.bool_],
    folds: Sequence[Fold],
    weights: Weights,
) -> Told:
    value = _mean_auroc(scores, truth, folds, whole(len(truth)))
    measured = estimate(value, _mean_auroc(scores, truth, folds, weights))
    return Told(label=label, auroc=measured.value, lower=measured.lower, upper=measured.upper)


def _mean_auroc(
    scores: NDArray[np.float64],
    truth: NDArray[np.bool_],
    folds: Sequence[Fold],
    weights: Weights,
) -> NDArray[np.float64]:
    """The mean over folds, shape (weightings,).

    Each fold has a tree of its own. Compared across folds, the scores of what is the same would
    differ a little, and against the truth: a tree gives less to a class of which it saw less.
    """
    each = np.stack([auroc(scores[of], truth[of], weights[:, of]) for _, of in folds])
    measured = np.isfinite(each)
    total = np.where(measured, each, 0).sum(axis=0)
    return np.where(measured.any(axis=0), total / np.maximum(measured.sum(axis=0), 1), CHANCE)
