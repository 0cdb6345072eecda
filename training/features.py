"""What the classical learners see of an image: gradients or gray levels, made few."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.feature import hog
from sklearn.decomposition import PCA

from contract.pixels import resize

Images = NDArray[np.uint8]
Rows = NDArray[np.int64]
Features = NDArray[np.float32]
Describe = Callable[[NDArray[np.uint8]], Features]

# As many cells whatever the size of the image, so that sizes can be compared.
HOG_CELLS = 12
HOG_ORIENTATIONS = 9
GRAY_SIDE = 48
COMPONENTS = 128
CHUNK = 256


def gradients(plane: NDArray[np.uint8]) -> Features:
    """Histograms of oriented gradients.

    Source: Dalal 2005, Histograms of Oriented Gradients for Human Detection.

    Args:
        plane: uint8, shape (height, width).

    Returns:
        float32, shape (features,), 0 to 1.
    """
    cell = tuple(max(1, side // HOG_CELLS) for side in plane.shape)
    return hog(plane, HOG_ORIENTATIONS, cell, (2, 2), "L2-Hys").astype(np.float32)


def gray_levels(plane: NDArray[np.uint8]) -> Features:
    """The image made small, without its brightness and contrast.

    Args:
        plane: uint8, shape (height, width).

    Returns:
        float32, shape (features,), mean 0 and variance 1; all 0 for an even image.
    """
    small = resize(plane, (GRAY_SIDE, GRAY_SIDE)).astype(np.float32).ravel()
    return (small - small.mean()) / max(small.std(), 1.0)


DESCRIPTIONS: dict[str, Describe] = {"hog": gradients, "pca": gray_levels}


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """A description and the principal components of the training images in it.

    ``border`` pixels of each side are left out, as the networks leave them out. ``scale`` divides
    all components alike: one of its own for each would give the last ones, which are noise, as much
    say in a distance as the first.
    """

    describe: Describe
    border: int
    components: PCA
    scale: float

    def transform(self, images: Images, rows: Rows) -> Features:
        """Describe some images.

        Args:
            images: uint8, shape (images, height, width, 1).
            rows: int, shape (chosen,): which of them.

        Returns:
            float32, shape (chosen, components).
        """
        parts = _described(images, rows, self.border, self.describe)
        return np.concatenate([self.components.transform(part) / self.scale for part in parts])


def fit_feature_space(
    name: str, images: Images, rows: Rows, *, border: int, seed: int
) -> FeatureSpace:
    """Find the principal components of the training images.

    Args:
        name: One of ``DESCRIPTIONS``.
        images: uint8, shape (images, height, width, 1).
        rows: int, shape (training images,): which of them to learn from, at least two.
        border: Pixels to leave out at each side.
        seed: Of the randomised decomposition.
    """
    describe = DESCRIPTIONS[name]
    described = np.concatenate(list(_described(images, rows, border, describe)))
    components = PCA(min(COMPONENTS, *described.shape), random_state=seed).fit(described)
    scale = float(np.sqrt(components.explained_variance_.mean()))
    return FeatureSpace(describe, border, components, scale)


def _described(images: Images, rows: Rows, border: int, describe: Describe) -> Iterator[Features]:
    height, width = images.shape[1:3]
    inside = np.s_[border : height - border, border : width - border, 0]
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        yield np.stack([describe(np.asarray(images[row][inside])) for row in chunk])
