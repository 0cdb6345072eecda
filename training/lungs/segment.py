"""Lung masks for images of any size, by a trained segmenter."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from contract.lungs import lung_mask
from contract.pixels import resize
from training.lungs.network import LUNG_MASK, with_mask_output
from training.lungs.workdir import LungWorkdir

BATCH = 32
Segment = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]


def load_segment(workdir: Path) -> Segment:
    """The function that draws lungs, from a finished training.

    Returns:
        From images, uint8, shape (images, height, width, 1), any size, to masks, bool, shape
        (images, height, width).

    Raises:
        WorkdirIncomplete: The training has not ended, or a file is missing or damaged.
    """
    model = with_mask_output(LungWorkdir(workdir).load().model)

    def segment(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        sizes = [images.shape[1:3]] * len(images)
        return np.stack(lung_masks(model, _fitted(images, model.input.shape[1:3]), sizes))

    return segment


def lung_masks(
    model: keras.Model, images: NDArray[np.uint8], sizes: Sequence[tuple[int, int]]
) -> list[NDArray[np.bool_]]:
    """Draw the lungs of images that have the network's size, each in a size of its own.

    Args:
        model: From ``with_mask_output``.
        images: uint8, shape (images, height, width, 1).
        sizes: The wanted (height, width) of each mask.

    Returns:
        bool, shape (height, width) each.
    """
    outputs = model.predict(images, batch_size=BATCH, verbose=0)[LUNG_MASK]
    return [lung_mask(plane[..., 0], size) for plane, size in zip(outputs, sizes, strict=True)]


def _fitted(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.stack([resize(np.asarray(image[..., 0]), size) for image in images])[..., np.newaxis]
