"""What an image looks like at first glance, as some eighty numbers computed in the graph.

The features of a network that has seen nothing but chest images keep what tells their classes
apart, and little of what tells a chest from a photograph. The coarse layout and the amount of
detail at each scale do, whatever the network is, and cost next to nothing.
"""

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

# Eight by eight means tell a chest from a hand or a page; finer ones tell one patient from another.
THUMBNAIL = 8
SCALES = 5

# Added to variances and powers, in squared gray levels: an even area has no contrast to blow up,
# and no logarithm of zero.
VARIANCE_FLOOR = 16.0
POWER_FLOOR = 0.05
# Brings the mean gray level near the size of the other numbers.
LEVEL_UNIT = 64.0


class Description(keras.layers.Layer):
    """``describe_image`` as one node of a network, whose name cannot meet another's."""

    def call(self, image: keras.KerasTensor) -> keras.KerasTensor:
        """Describe images, uint8, shape (batch, height, width, 1)."""
        return describe_image(image)


def describe_image(image: keras.KerasTensor) -> keras.KerasTensor:
    """Describe images by a standardised thumbnail, their exposure, and their detail at each scale.

    Args:
        image: uint8, shape (batch, height, width, 1), at least 8 x 8.

    Returns:
        float32, shape (batch, numbers): the thumbnail's 64, the mean, the logarithm of the standard
        deviation, and that of the detail's root mean square: across, down and diagonal for each of
        up to five scales.
    """
    level = ops.squeeze(ops.cast(image, "float32"), axis=-1)
    return ops.concatenate([_thumbnail(level), _exposure(level), _detail(level)], axis=-1)


def _thumbnail(level: keras.KerasTensor) -> keras.KerasTensor:
    """Area means as two products with matrices, which fit any size and keep the data layout."""
    height, width = level.shape[1:]
    across = ops.matmul(level, _averaging(width).T)
    small = ops.reshape(ops.matmul(_averaging(height), across), (-1, THUMBNAIL * THUMBNAIL))
    centred = small - ops.mean(small, axis=1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=1, keepdims=True)
    return centred / ops.sqrt(variance + VARIANCE_FLOOR)


def _averaging(length: int) -> NDArray[np.float32]:
    """The means over equal parts of a line of pixels, shape (parts, length); parts share pixels."""
    edges = np.linspace(0, length, THUMBNAIL + 1)[:, np.newaxis]
    pixels = np.arange(length)
    shared = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    weights = np.clip(shared, 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _exposure(level: keras.KerasTensor) -> keras.KerasTensor:
    mean = ops.mean(level, axis=(1, 2), keepdims=True)
    variance = ops.mean(ops.square(level - mean), axis=(1, 2))
    spread = ops.log(variance + VARIANCE_FLOOR) / 2
    return ops.stack([mean[:, 0, 0] / LEVEL_UNIT, spread], axis=-1)


def _detail(level: keras.KerasTensor) -> keras.KerasTensor:
    """The power of the Haar wavelet's three details, scale by scale.

    Source: Mallat 1989, A Theory for Multiresolution Signal Decomposition.
    """
    powers = []
    for _ in range(min(SCALES, int(np.log2(min(level.shape[1:]))))):
        rows, columns = (side // 2 * 2 for side in level.shape[1:])
        a, b, c, d = (level[:, i:rows:2, j:columns:2] for i in (0, 1) for j in (0, 1))
        details = (a - b + c - d, a + b - c - d, a - b - c + d)
        powers.extend(ops.mean(ops.square(detail / 4), axis=(1, 2)) for detail in details)
        level = (a + b + c + d) / 4
    return ops.log(ops.stack(powers, axis=-1) + POWER_FLOOR) / 2
