"""Training batches: image and mask moved together, and the same after a restart."""

import keras
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.augmentation import augment
from training.config import AugmentationConfig
from training.lungs.recipe import OptimisationConfig

POSITION = ("flip_probability", "rotation_degrees", "scale", "aspect", "crop", "shear", "shift")
Plane = NDArray[np.uint8]
Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]


class LungBatches(keras.utils.PyDataset):
    """The batches of the training split; every epoch draws a new order.

    A batch follows from the seed, the epoch and its number in the epoch alone, so a run that is
    started again at an epoch sees what the first run would have seen.

    Args:
        images: uint8, shape (training images, height, width, 1).
        masks: uint8, the same shape, 0 no lung to 255 lung.
        training: The length of a batch and of an epoch.
        augmentation: How far an image is changed.
        seed: Of the order and of every change.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        masks: NDArray[np.uint8],
        *,
        training: OptimisationConfig,
        augmentation: AugmentationConfig,
        seed: int,
    ) -> None:
        super().__init__()
        self._images = images
        self._masks = masks
        self._training = training
        self._augmentation = augmentation
        self._seed = seed
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, counted from 0."""
        self._epoch = epoch
        random = np.random.default_rng((self._seed, epoch))
        rounds = -(-self._training.images_per_epoch // len(self._images))
        self._order = np.concatenate([random.permutation(len(self._images)) for _ in range(rounds)])

    def __len__(self) -> int:
        return self._training.steps_per_epoch

    def __getitem__(self, index: int) -> Batch:
        """One batch.

        Returns:
            uint8 images and float32 masks from 0 to 1, both of shape (batch, height, width, 1).
        """
        size = self._training.batch_size
        random = np.random.default_rng((self._seed, self._epoch, index))
        pairs = [
            augment_pair(
                self._images[row, ..., 0], self._masks[row, ..., 0], random, self._augmentation
            )
            for row in self._order[index * size : (index + 1) * size]
        ]
        images, masks = (np.stack(planes)[..., np.newaxis] for planes in zip(*pairs, strict=True))
        return images, masks.astype(np.float32) / 255


def augment_pair(
    image: Plane, mask: Plane, random: Generator, config: AugmentationConfig
) -> tuple[Plane, Plane]:
    """Move an image and its mask alike, then change the image's exposure and sharpness alone.

    Args:
        image: uint8, shape (height, width), 0 black to 255 white.
        mask: uint8, the same shape, 0 no lung to 255 lung.
        random: Decides everything; the same state gives the same result.
        config: How far.

    Returns:
        The changed image and mask, of the same shape and dtype.
    """
    position = AugmentationConfig(
        strength=config.strength, **{name: getattr(config, name) for name in POSITION}
    )
    appearance = config.model_copy(update=dict.fromkeys(POSITION, 0.0))
    state = int(random.integers(2**63))
    moved, mask = (
        augment(plane, np.random.default_rng(state), position) for plane in (image, mask)
    )
    return augment(moved, random, appearance), mask
