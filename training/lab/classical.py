"""Classical learners on a few numbers per image: what a network must beat to be worth its cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.feature import hog
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from contract.pixels import resize

TREES = 300
NEIGHBOURS = 15
MAX_ITERATIONS = 2000
# A forest or a neighbourhood of one mind says 0 and 1, which have no logit.
LEAST_PROBABILITY = 1e-4
TIMED_IMAGES = 50
# As many cells whatever the size of the image, so that sizes can be compared.
HOG_CELLS = 12
HOG_ORIENTATIONS = 9
GRAY_SIDE = 48
COMPONENTS = 128

Images = NDArray[np.uint8]
Features = NDArray[np.float32]


def gradients(plane: Images) -> Features:
    """Histograms of oriented gradients.

    Source: Dalal 2005, Histograms of Oriented Gradients for Human Detection.

    Args:
        plane: uint8, shape (height, width).

    Returns:
        float32, shape (features,), 0 to 1.
    """
    cell = tuple(max(1, side // HOG_CELLS) for side in plane.shape)
    return hog(plane, HOG_ORIENTATIONS, cell, (2, 2), "L2-Hys").astype(np.float32)


def gray_levels(plane: Images) -> Features:
    """The image made small, without its brightness and contrast.

    Args:
        plane: uint8, shape (height, width).

    Returns:
        float32, shape (features,), mean 0 and variance 1; all 0 for an even image.
    """
    small = resize(plane, (GRAY_SIDE, GRAY_SIDE)).astype(np.float32).ravel()
    return (small - small.mean()) / max(small.std(), 1.0)


DESCRIPTIONS: dict[str, Callable[[Images], Features]] = {"hog": gradients, "pca": gray_levels}
# As for the networks, each class counts the same however many images it has; neighbours are counted
# as they are.
LEARNERS: dict[str, Callable[[int], ClassifierMixin]] = {
    "logistic-regression": lambda seed: LogisticRegression(
        class_weight="balanced", max_iter=MAX_ITERATIONS, random_state=seed
    ),
    "svm": lambda seed: SVC(class_weight="balanced", random_state=seed),
    "random-forest": lambda seed: RandomForestClassifier(
        TREES, class_weight="balanced", random_state=seed
    ),
    "k-nearest-neighbours": lambda _seed: KNeighborsClassifier(NEIGHBOURS),
    "gradient-boosting": lambda seed: HistGradientBoostingClassifier(
        class_weight="balanced", random_state=seed
    ),
}
BASELINES = tuple(f"{learner}-{features}" for features in DESCRIPTIONS for learner in LEARNERS)
"""``svm-hog`` is a support vector machine on histograms of oriented gradients, and so on."""


def describe(features: str, images: Images, border: int) -> Features:
    """Describe images.

    Args:
        features: One of ``DESCRIPTIONS``.
        images: uint8, shape (images, height, width, 1).
        border: Pixels that are left out at each side, as the networks leave them out.

    Returns:
        float32, shape (images, features).
    """
    height, width = images.shape[1:3]
    inside = np.s_[border : height - border, border : width - border, 0]
    return np.stack([DESCRIPTIONS[features](np.asarray(image[inside])) for image in images])


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted classical learner on principal components.

    ``scale`` divides all components alike: one of its own for each would give the last ones, which
    are noise, as much say in a distance as the first.
    """

    features: str
    border: int
    components: PCA
    scale: float
    classifier: ClassifierMixin

    def logits(self, described: Features) -> NDArray[np.float32]:
        """Predict described images.

        A support vector machine's margins are taken for logits; the temperature that follows gives
        them their scale, as it does for a network.

        Args:
            described: float32, shape (images, features): from ``describe``.

        Returns:
            float32, shape (images, classes).
        """
        reduced = self.components.transform(described) / self.scale
        if isinstance(self.classifier, SVC):
            margins = self.classifier.decision_function(reduced)
            if margins.ndim == 1:
                margins = np.stack([-margins, margins], axis=1) / 2
            return margins.astype(np.float32)
        probabilities = self.classifier.predict_proba(reduced)
        return np.log(np.maximum(probabilities, LEAST_PROBABILITY)).astype(np.float32)

    def ms_per_image(self, images: Images) -> float:
        """The median time for one image, described and classified on one thread.

        Args:
            images: uint8, shape (images, height, width, 1), at least one.
        """
        times_ms = []
        with threadpool_limits(1):
            for row in np.resize(np.arange(len(images)), TIMED_IMAGES):
                began = time.perf_counter()
                self.logits(describe(self.features, images[row : row + 1], self.border))
                times_ms.append((time.perf_counter() - began) * 1000)
        return float(np.median(times_ms))


def fit_baseline(
    name: str,
    described: Features,
    classes: NDArray[np.int64],
    *,
    border: int,
    seed: int,
) -> Baseline:
    """Fit a classical learner.

    Args:
        name: One of ``BASELINES``.
        described: Of the training images, from ``describe`` with the features of that name.
        classes: int, shape (training images,): 0 to classes - 1, each at least once.
        border: As it was described with.
        seed: Of whatever the learner draws.
    """
    learner, _, features = name.rpartition("-")
    components = PCA(min(COMPONENTS, *described.shape), random_state=seed).fit(described)
    scale = float(np.sqrt(components.explained_variance_.mean()))
    classifier = LEARNERS[learner](seed)
    # So little work is slowed by threads that wait for each other.
    with threadpool_limits(1):
        classifier.fit(components.transform(described) / scale, classes)
    return Baseline(features, border, components, scale, classifier)
