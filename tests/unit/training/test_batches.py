from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.synthetic import synthetic_radiograph
from tests.training_data import tiny_recipe
from training.batches import (
    Examples,
    TrainingBatches,
    balanced_order,
    labelled_images,
    masked_images,
)
from training.config import AugmentationConfig

NOISY = AugmentationConfig(noise_probability=1, rotation_degrees=10)
MOVES = AugmentationConfig(
    flip_probability=0.5, rotation_degrees=20, scale=0.3, aspect=0.2, shear=0.1, shift=0.1
)
LOOKS = AugmentationConfig(gamma=0.5, noise_probability=1, erase_probability=1)
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)
LABELS = np.array([0] * 6 + [1] * 24)
ONE_SOURCE = np.zeros(30, np.int64)
FROM_THE_THIRD: NDArray[np.int64] = np.arange(2, 30)


def batches(
    *,
    seed: int = 0,
    rows: NDArray[np.int64] = FROM_THE_THIRD,
    images_per_epoch: int | None = None,
    augmentation: AugmentationConfig = NOISY,
) -> TrainingBatches:
    examples = labelled_images(IMAGES, rows, LABELS, ONE_SOURCE, 2, augmentation)
    config = tiny_recipe(training={"batch_size": 8, "images_per_epoch": images_per_epoch}).training
    return TrainingBatches(examples, len(rows), config, seed)


def pixels(source: TrainingBatches) -> list[bytes]:
    return [source[number][0].tobytes() for number in range(len(source))]


def test_an_epoch_is_the_same_after_a_restart() -> None:
    running = batches()
    epochs = []
    for epoch in range(3):
        running.start_epoch(epoch)
        epochs.append(pixels(running))

    restarted = batches()
    restarted.start_epoch(2)

    # What was asked before does not matter.
    assert restarted[2][0].tobytes() == epochs[2][2]
    restarted.start_epoch(2)
    assert pixels(restarted) == epochs[2]
    assert epochs[1] != epochs[2]
    assert pixels(batches(seed=1)) != epochs[0]


def test_only_the_given_rows_are_used_with_their_own_labels() -> None:
    source = batches(augmentation=AugmentationConfig())
    known = {image.tobytes(): row for row, image in enumerate(IMAGES)}

    drawn = [source[number] for number in range(len(source))]

    rows = [known[image.tobytes()] for images, _ in drawn for image in images]
    classes = [int(target.argmax()) for _, targets in drawn for target in targets]
    assert min(rows) >= 2
    assert classes == LABELS[rows].tolist()
    for images, targets in drawn:
        assert (images.shape, targets.shape) == ((8, 8, 8, 1), (8, 2))
        assert images.dtype == np.uint8
        assert targets.dtype == np.float32
        np.testing.assert_array_equal(targets.sum(axis=1), 1)


@pytest.mark.parametrize("images", [8, 64])
def test_an_epoch_is_as_long_as_it_is_asked_to_be(images: int) -> None:
    source = batches(images_per_epoch=images)

    assert sum(len(source[number][0]) for number in range(len(source))) == images
    # A training split smaller than a batch is one batch.
    small = batches(rows=np.array([1, 20]))
    assert (len(small), len(small[0][0])) == (1, 2)


def test_a_balanced_epoch_uses_the_rare_class_evenly() -> None:
    order = balanced_order(LABELS, ONE_SOURCE, 30, np.random.default_rng(0))

    uses = Counter(order.tolist())
    assert Counter(LABELS[order].tolist()) == {0: 15, 1: 15}
    assert {uses[row] for row in range(6)} == {2, 3}
    assert {uses[row] for row in range(6, 30)} == {0, 1}


def test_a_small_source_has_more_than_its_own_part_of_a_class() -> None:
    sources = np.array([0] * 6 + [1] * 20 + [2] * 4)

    order = balanced_order(LABELS, sources, 60, np.random.default_rng(0))

    assert Counter(LABELS[order].tolist()) == {0: 30, 1: 30}
    assert Counter(sources[order][LABELS[order] == 1].tolist()) == {1: 21, 2: 9}


def masked(augmentation: AugmentationConfig) -> Examples:
    chest = synthetic_radiograph(48, 48)[np.newaxis, ..., np.newaxis]
    return masked_images(chest, chest, augmentation)


@pytest.mark.parametrize("seed", range(5))
def test_a_mask_moves_with_its_image(seed: int) -> None:
    image, mask = masked(MOVES).example(0, np.random.default_rng(seed))

    np.testing.assert_array_equal(image, np.rint(mask[..., 0] * 255))
    assert not np.array_equal(image, synthetic_radiograph(48, 48))


def test_exposure_noise_and_objects_leave_the_mask_alone() -> None:
    image, mask = masked(LOOKS).example(0, np.random.default_rng(0))

    np.testing.assert_array_equal(np.rint(mask[..., 0] * 255), synthetic_radiograph(48, 48))
    assert not np.array_equal(image, synthetic_radiograph(48, 48))


def test_few_masked_images_fill_a_long_epoch_evenly() -> None:
    masks = np.where(IMAGES > 127, np.uint8(255), np.uint8(0))
    examples = masked_images(IMAGES[:6], masks[:6], AugmentationConfig())
    config = tiny_recipe(training={"batch_size": 4, "images_per_epoch": 24}).training

    drawn = TrainingBatches(examples, 6, config, seed=1)

    known = {image.tobytes(): row for row, image in enumerate(IMAGES[:6])}
    rows = [known[image.tobytes()] for number in range(len(drawn)) for image in drawn[number][0]]
    assert np.bincount(rows).tolist() == [4] * 6
    assert drawn[0][1].shape == (4, 8, 8, 1)
    assert (drawn[0][1].min(), drawn[0][1].max()) == (0, 1)


def test_a_reader_left_over_from_the_epoch_before_spoils_no_batch() -> None:
    expected = batches()
    expected.start_epoch(1)
    wanted = pixels(expected)
    source = batches()
    stop = Event()

    def read() -> None:
        while not stop.is_set():
            source[0], source[len(source) - 1]

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        found = []
        for _ in range(5):
            source.start_epoch(0)
            source.start_epoch(1)
            found.append(pixels(source))
        stop.set()

    assert all(reader.exception() is None for reader in readers)
    assert found == [wanted] * 5
