"""Classical learners on a few numbers per image: what a network must beat to be worth its cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from training.features import DESCRIPTIONS, Features, FeatureSpace, Images, Rows

TREES = 300
NEIGHBOURS = 15
MAX_ITERATIONS = 2000
# A forest or a neighbourhood of one mind says 0 and 1, which have no logit.
LEAST_PROBABILITY = 1e-4
TIMED_IMAGES = 50


class Classifier(Protocol):
    """What of a scikit-learn classifier is used."""

    def fit(self, x: Features, y: NDArray[np.int64]) -> "Classifier":
        """Learn; changed in place."""
        ...


Make = Callable[[str | None, int], Classifier]

LEARNERS: dict[str, Make] = {
    "logistic-regression": lambda weight, seed: LogisticRegression(
        class_weight=weight, max_iter=MAX_ITERATIONS, random_state=seed
    ),
    "svm": lambda weight, seed: SVC(class_weight=weight, random_state=seed),
    "random-forest": lambda weight, seed: RandomForestClassifier(
        TREES, class_weight=weight, random_state=seed
    ),
    "k-nearest-neighbours": lambda _weight, _seed: KNeighborsClassifier(NEIGHBOURS),
    "gradient-boosting": lambda weight, seed: HistGradientBoostingClassifier(
        class_weight=weight, random_state=seed
    ),
}

BASELINES = tuple(f"{learner}-{features}" for features in DESCRIPTIONS for learner in LEARNERS)
"""``svm-hog`` is a support vector machine on histograms of oriented gradients, and so on."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted classical learner and what it sees of an image."""

    space: FeatureSpace
    classifier: Classifier

    def logits(self, features: Features) -> NDArray[np.float32]:
        """What the learner says of described images.

        A support vector machine's margins are taken for logits; the temperature that follows gives
        them their scale, as it does for a network.

        Args:
            features: float32, shape (images, components): from the learner's feature space.

        Returns:
            float32, shape (images, classes).
        """
        if isinstance(self.classifier, SVC):
            margins = self.classifier.decision_function(features)
            if margins.ndim == 1:
                margins = np.stack([-margins, margins], axis=1) / 2
            return margins.astype(np.float32)
        probabilities = self.classifier.predict_proba(features)
        return np.log(np.maximum(probabilities, LEAST_PROBABILITY)).astype(np.float32)

    def ms_per_image(self, images: Images, rows: Rows) -> float:
        """The median time for one image, described and classified on one thread.

        Args:
            images: uint8, shape (images, height, width, 1).
            rows: int, shape (chosen,): images to take, at least one.
        """
        times_ms = []
        with threadpool_limits(1):
            for row in np.resize(rows, TIMED_IMAGES):
                began = time.perf_counter()
                self.logits(self.space.transform(images, np.array([row])))
                times_ms.append((time.perf_counter() - began) * 1000)
        return float(np.median(times_ms))


def parts_of(name: str) -> tuple[str, str]:
    """The learner and the features of a baseline: ``svm-hog`` is ``svm`` on ``hog``."""
    learner, _, features = name.rpartition("-")
    return learner, features


def fit_baseline(
    learner: str,
    space: FeatureSpace,
    features: Features,
    classes: NDArray[np.int64],
    *,
    balanced: bool,
    seed: int,
) -> Baseline:
    """Fit a classical learner.

    Args:
        learner: One of ``LEARNERS``.
        space: Where the features come from.
        features: float32, shape (training images, components).
        classes: int, shape (training images,): 0 to classes - 1, each at least once.
        balanced: Whether each class counts the same however many images it has. Neighbours are
            counted as they are.
        seed: Of whatever the learner draws.
    """
    classifier = LEARNERS[learner]("balanced" if balanced else None, seed)
    # So little work is slowed by threads that wait for each other.
    with threadpool_limits(1):
        classifier.fit(features, classes)
    return Baseline(space, classifier)
