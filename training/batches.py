"""Batches over cached images to train on: balanced, augmented, and made ahead."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import NamedTuple

import keras
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.config import AugmentationConfig, TrainingConfig
from training.transforms import augment, augment_appearance, augment_position

Images = NDArray[np.uint8]
Rows = NDArray[np.int64]
Plane = NDArray[np.uint8]
Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]

# Batches are made ahead in two threads while the network computes; NumPy and Pillow let other
# threads run for most of their work. Keras's own workers are not used: they carry batches over from
# one epoch, and from its trial batch, to the next, and a restarted run would see other ones.
WORKERS = 2
BATCHES_AHEAD = 8
PREDICTED_AT_ONCE = 64
"""Images in a batch that is not trained on."""


class Examples(NamedTuple):
    """What is trained on: the order of an epoch of about so many, and one image with its target."""

    order: Callable[[int, Generator], Rows]
    example: Callable[[int, Generator], tuple[Plane, NDArray[np.float32]]]


def labelled_images(
    images: Images,
    rows: Rows,
    labels: Rows,
    strata: Rows,
    classes: int,
    augmentation: AugmentationConfig,
) -> Examples:
    """Images with their class as a distribution, in the order of ``balanced_order``.

    Of ``images``, uint8, shape (images, height, width, 1), ``rows`` are trained on; ``labels`` and
    ``strata``, int, shape (images,), are of all.
    """
    own, targets = labels[rows], np.eye(classes, dtype=np.float32)

    def example(number: int, random: Generator) -> tuple[Plane, NDArray[np.float32]]:
        plane = np.asarray(images[rows[number], ..., 0])
        return augment(plane, random, augmentation), targets[own[number]]

    return Examples(partial(balanced_order, own, strata[rows]), example)


def masked_images(images: Images, masks: Images, augmentation: AugmentationConfig) -> Examples:
    """Images with a mask each, from 0 to 1, which is moved as its image is; each as often.

    Both are uint8, shape (training images, height, width, 1), the masks 0 outside to 255 inside.
    """

    def example(number: int, random: Generator) -> tuple[Plane, NDArray[np.float32]]:
        state = int(random.integers(2**63))
        image, mask = (
            augment_position(plane, np.random.default_rng(state), augmentation)
            for plane in (images[number, ..., 0], masks[number, ..., 0])
        )
        image = augment_appearance(image, random, augmentation)
        return image, mask[..., np.newaxis].astype(np.float32) / 255

    return Examples(partial(_repeated, np.arange(len(images))), example)


class TrainingBatches(keras.utils.PyDataset):
    """The batches of one training split of so many examples; every epoch draws a new order.

    A batch follows from the seed, the epoch and its number in the epoch alone, so a run that is
    started again at an epoch sees what the first run would have seen.
    """

    def __init__(self, examples: Examples, size: int, config: TrainingConfig, seed: int) -> None:
        super().__init__()
        self._examples = examples
        self._batch_size = min(config.batch_size, size)
        self._length = config.images_per_epoch or size
        self._seed = seed
        self._pool = ThreadPoolExecutor(WORKERS)
        # Keras looks at the first batches to learn their shape, from a thread that may still run
        # when the epoch starts.
        self._lock = Lock()
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, counted from 0."""
        order = self._examples.order(self._length, np.random.default_rng((self._seed, epoch)))
        ahead: dict[int, Future[Batch]] = {}
        with self._lock:
            self._epoch, self._order, self._ahead = epoch, order, ahead

    def __len__(self) -> int:
        return len(self._order) // self._batch_size

    def __getitem__(self, index: int) -> Batch:
        """One batch: uint8 images, shape (batch, height, width, 1), and their float32 targets."""
        with self._lock:
            for number in range(index, min(index + BATCHES_AHEAD, len(self))):
                if number not in self._ahead:
                    start = number * self._batch_size
                    chosen = self._order[start : start + self._batch_size]
                    random = np.random.default_rng((self._seed, self._epoch, number))
                    self._ahead[number] = self._pool.submit(self._make, chosen, random)
            batch = self._ahead.pop(index)
        return batch.result()

    def _make(self, chosen: Rows, random: Generator) -> Batch:
        pairs = [self._examples.example(number, random) for number in chosen]
        images, targets = zip(*pairs, strict=True)
        return np.stack(images)[..., np.newaxis], np.stack(targets)


def balanced_order(labels: Rows, strata: Rows, length: int, random: Generator) -> Rows:
    """Draw an epoch of about ``length`` images in which every class has the same part.

    Within a class each stratum has a part as large as the square root of its images: more than its
    own, so that it says less of the class, but a handful of images is not seen a hundred times.
    Where a part is smaller than the stratum, each epoch has another draw of it; where it is larger,
    its images are gone through as often as needed, in a new order each time. The order has
    positions in ``labels`` and ``strata``, both int, shape (images,).
    """
    classes = np.unique(labels)
    share = max(1, length // len(classes))
    parts = []
    for label in classes:
        members = np.flatnonzero(labels == label)
        groups = [members[strata[members] == stratum] for stratum in np.unique(strata[members])]
        weights = np.sqrt([len(group) for group in groups])
        ends = np.round(np.cumsum(weights) / weights.sum() * share).astype(np.int64)
        counts = np.diff(ends, prepend=0).tolist()
        parts += [_repeated(*part, random) for part in zip(groups, counts, strict=True)]
    return random.permutation(np.concatenate(parts))


def _repeated(members: Rows, count: int, random: Generator) -> Rows:
    rounds = max(1, -(-count // len(members)))
    return np.concatenate([random.permutation(members) for _ in range(rounds)])[:count]
