"""Training batches over the image cache: balanced, augmented, and the same after a restart."""

from concurrent.futures import Executor, Future

import keras
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.augmentation import augment, mixup
from training.config import AugmentationConfig

Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]

# Batches are made ahead in two threads while the network computes; NumPy and Pillow let other
# threads run for most of their work. Keras's own workers are not used: they carry batches over from
# one epoch, and from its trial batch, to the next, and a restarted run would see other ones.
WORKERS = 2
BATCHES_AHEAD = 8


class TrainingBatches(keras.utils.PyDataset):
    """The batches of one training split; every epoch draws a new order.

    A batch follows from the seed, the epoch and its number in the epoch alone, so a run that is
    started again at an epoch sees what the first run would have seen.

    Args:
        images: uint8, shape (images, height, width, 1).
        positions: int, shape (training images,): the rows to train on.
        labels: int, shape (images,): the class of each image, 0 to classes - 1.
        classes: How many classes there are.
        batch_size: Images per batch.
        balanced: Whether each class has the same part in an epoch.
        augmentation: How far an image is changed.
        seed: Of the order and of every change.
        pool: Where batches are made ahead.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        positions: NDArray[np.int64],
        labels: NDArray[np.int64],
        *,
        classes: int,
        batch_size: int,
        balanced: bool,
        augmentation: AugmentationConfig,
        seed: int,
        pool: Executor,
    ) -> None:
        super().__init__()
        self._images = images
        self._positions = positions
        self._labels = labels[positions]
        self._targets = np.eye(classes, dtype=np.float32)
        self._batch_size = min(batch_size, len(positions))
        self._balanced = balanced
        self._augmentation = augmentation
        self._seed = seed
        self._pool = pool
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, counted from 0."""
        self._epoch = epoch
        self._ahead: dict[int, Future[Batch]] = {}
        random = np.random.default_rng((self._seed, epoch))
        if self._balanced:
            self._order = balanced_order(self._labels, random)
        else:
            self._order = random.permutation(len(self._labels))

    def __len__(self) -> int:
        return len(self._order) // self._batch_size

    def __getitem__(self, index: int) -> Batch:
        """One batch.

        Returns:
            uint8 images, shape (batch, height, width, 1), and float32 targets, shape (batch,
            classes), each row a distribution.
        """
        for number in range(index, min(index + BATCHES_AHEAD, len(self))):
            if number not in self._ahead:
                chosen = self._order[number * self._batch_size : (number + 1) * self._batch_size]
                seed = (self._seed, self._epoch, number)
                self._ahead[number] = self._pool.submit(self._make, chosen, seed)
        return self._ahead.pop(index).result()

    def _make(self, chosen: NDArray[np.int64], seed: tuple[int, int, int]) -> Batch:
        random = np.random.default_rng(seed)
        config = self._augmentation
        rows = self._positions[chosen]
        planes = [augment(np.asarray(self._images[row, ..., 0]), random, config) for row in rows]
        images, targets = np.stack(planes)[..., np.newaxis], self._targets[self._labels[chosen]]
        if config.mixup_alpha:
            return mixup(images, targets, random, config.mixup_alpha)
        return images, targets


class ImageBatches(keras.utils.PyDataset):
    """Some images of the cache as they are, in the given order, for prediction.

    Args:
        images: uint8, shape (images, height, width, 1).
        positions: int, shape (chosen,): rows of ``images``.
        batch_size: Images per batch; the last one may be smaller.
    """

    def __init__(
        self, images: NDArray[np.uint8], positions: NDArray[np.int64], batch_size: int = 64
    ) -> None:
        super().__init__()
        self._images = images
        self._positions = positions
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._positions) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8]]:
        """One batch: uint8, shape (batch, height, width, 1)."""
        start = index * self._batch_size
        return (np.asarray(self._images[self._positions[start : start + self._batch_size]]),)


def balanced_order(labels: NDArray[np.int64], random: Generator) -> NDArray[np.int64]:
    """Draw an epoch in which every class has the same part.

    A class with too many images gives a part of them, another in each epoch; one with too few is
    gone through as often as needed, in a new order each time.

    Args:
        labels: int, shape (images,).
        random: Decides the draw and the order.

    Returns:
        Positions in ``labels``, int, about as many as there are images.
    """
    classes = np.unique(labels)
    share = max(1, len(labels) // len(classes))
    parts = [_repeated(np.flatnonzero(labels == label), share, random) for label in classes]
    return random.permutation(np.concatenate(parts))


def _repeated(members: NDArray[np.int64], count: int, random: Generator) -> NDArray[np.int64]:
    rounds = -(-count // len(members))
    return np.concatenate([random.permutation(members) for _ in range(rounds)])[:count]
