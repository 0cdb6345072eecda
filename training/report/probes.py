"""How much a simple learner reads from an image that it should not need: where it comes from.

Source: Zech 2018, Variable Generalization Performance of a Deep Learning Model to Detect Pneumonia
in Chest Radiographs: the hospital alone predicted the disease.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contract.findings import Label
from contract.manifest import Metric
from training.metrics import balanced_accuracy
from training.report.checks import Outcome
from training.report.material import Material, Rows

FOLDS = 5
MAX_IMAGES = 2000
# Strong enough that a few hundred images do not fit thousands of features by heart.
INVERSE_PENALTY = 0.1
MAX_ITERATIONS = 2000

NAME = "source_probe_balanced_accuracy"
CHANCE = "source_probe_chance"


def source_probe(material: Material) -> Outcome:
    """Tell the source of an image from the network's pooled features, over all classes and in each.

    Where source and class go together, the probe over all classes also reads the class; within one
    class it can read nothing but the source.
    """
    rows = material.sample(MAX_IMAGES)
    labels = [finding.label for finding in material.findings]
    sources = material.predictions.sources[rows]
    if len(np.unique(sources[with_enough_groups(sources, material.groups[rows])])) < 2:
        return Outcome(summary="All images come from one source: there is nothing to tell apart.")
    features = material.features(material.images[rows])
    probed = list(_probe(material, rows, features, None))
    for number, label in enumerate(labels):
        members = material.predictions.classes[rows] == number
        probed += _probe(material, rows[members], features[members], label)
    return Outcome(summary=_summary(probed), metrics=tuple(probed))


def cross_validated(
    inputs: NDArray[np.float32],
    targets: NDArray[np.int64],
    groups: NDArray[np.str_],
    outputs: int,
    seed: int,
) -> NDArray[np.float64]:
    """Fit a logistic regression to all groups but a fifth, and ask it of that fifth, five times.

    Args:
        inputs: Shape (images, features).
        targets: int, shape (images,), each with at least five groups.
        groups: The group of each image, shape (images,).
        outputs: How many targets there may be.
        seed: Of the folds.

    Returns:
        Probabilities, shape (images, outputs).
    """
    probabilities = np.zeros((len(targets), outputs))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fit, ask in folds.split(inputs, targets, groups):
        learner = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=MAX_ITERATIONS),
        )
        learner.fit(inputs[fit], targets[fit])
        probabilities[np.ix_(ask, learner.classes_)] = learner.predict_proba(inputs[ask])
    return probabilities


def with_enough_groups(targets: NDArray[np.generic], groups: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which images have a target that every fold of a cross-validation can have a part of.

    Returns:
        bool, shape (images,).
    """
    enough = [
        target
        for target in np.unique(targets)
        if len(np.unique(groups[targets == target])) >= FOLDS
    ]
    return np.isin(targets, enough)


def _probe(
    material: Material, rows: Rows, features: NDArray[np.float32], label: Label | None
) -> Iterator[Metric]:
    sources, groups = material.predictions.sources[rows], material.groups[rows]
    used = with_enough_groups(sources, groups)
    names, targets = np.unique(sources[used], return_inverse=True)
    if len(names) < 2:
        return
    said = cross_validated(features[used], targets, groups[used], len(names), material.seed).argmax(
        axis=1
    )
    yield material.estimated(
        NAME, rows[used], lambda weights: balanced_accuracy(said, targets, weights), label
    )
    chance = 1 / len(names)
    yield Metric(
        dataset=material.dataset,
        name=CHANCE,
        label=label,
        value=chance,
        lower=chance,
        upper=chance,
        images=int(used.sum()),
    )


def _summary(probed: list[Metric]) -> str:
    parts = [
        f"{'over all classes' if found.label is None else f'within {found.label}'} "
        f"{found.value:.2f} where guessing gives {chance.value:.2f}"
        for found, chance in zip(probed[::2], probed[1::2], strict=True)
    ]
    return (
        "A logistic regression on the network's pooled features names an image's source with a "
        f"balanced accuracy of: {'; '.join(parts)}. What can be read can be used as a shortcut."
    )
