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
        strata: int, shape (images,): the source of each image, balanced within its class; one
            number for all balances the classes alone. None draws the images as they are.
        images_per_epoch: How long an epoch is; as long as the split where None.
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
        strata: NDArray[np.int64] | None,
        images_per_epoch: int | None,
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
        self._strata = None if strata is None else strata[positions]
        self._length = images_per_epoch or len(positions)
        self._augmentation = augmentation
        self._seed = seed
        self._pool = pool
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, counted from 0."""
        self._epoch = epoch
        self._ahead: dict[int, Future[Batch]] = {}
        random = np.random.default_rng((self._seed, epoch))
        if self._strata is None:
            self._order = _repeated(np.arange(len(self._labels)), self._length, random)
        else:
            self._order = balanced_order(self._labels, self._strata, self._length, random)

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


def balanced_order(
    labels: NDArray[np.int64], strata: NDArray[np.int64], length: int, random: Generator
) -> NDArray[np.int64]:
    """Draw an epoch in which every class has the same part.

    Within a class each stratum has a part as large as the square root of its images: more than its
    own, so that it says less of the class, but a handful of images is not seen a hundred times.
    Where a part is smaller than the stratum, each epoch has another draw of it; where it is larger,
    its images are gone through as often as needed, in a new order each time.

    Args:
        labels: int, shape (images,).
        strata: int, shape (images,).
        length: About how many images an epoch has.
        random: Decides the draw and the order.

    Returns:
        Positions in ``labels``, int, each class as often as every other.
    """
    classes = np.unique(labels)
    share = max(1, length // len(classes))
    parts = [
        _repeated(members, count, random)
        for label in classes
        for members, count in _strata(np.flatnonzero(labels == label), strata, share)
    ]
    return random.permutation(np.concatenate(parts))


def _strata(
    members: NDArray[np.int64], strata: NDArray[np.int64], share: int
) -> list[tuple[NDArray[np.int64], int]]:
    """The members of each stratum of a class, and how many of them an epoch has."""
    groups = [members[strata[members] == stratum] for stratum in np.unique(strata[members])]
    weights = np.sqrt([len(group) for group in groups])
    ends = np.round(np.cumsum(weights) / weights.sum() * share).astype(np.int64)
    return list(zip(groups, np.diff(ends, prepend=0).tolist(), strict=True))


def _repeated(members: NDArray[np.int64], count: int, random: Generator) -> NDArray[np.int64]:
    rounds = max(1, -(-count // len(members)))
    return np.concatenate([random.permutation(members) for _ in range(rounds)])[:count]
