from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from training.config import AugmentationConfig
from training.input_pipeline import ImageBatches, TrainingBatches, balanced_order

NOISY = AugmentationConfig(noise_probability=1, rotation_degrees=10)
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)
LABELS = np.array([0] * 6 + [1] * 24)
ONE_SOURCE = np.zeros(30, np.int64)


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def batches(
    pool: Executor,
    *,
    seed: int = 0,
    strata: NDArray[np.int64] | None = ONE_SOURCE,
    images_per_epoch: int | None = None,
    augmentation: AugmentationConfig = NOISY,
) -> TrainingBatches:
    return TrainingBatches(
        IMAGES,
        np.arange(2, 30),
        LABELS,
        classes=2,
        batch_size=8,
        strata=strata,
        images_per_epoch=images_per_epoch,
        augmentation=augmentation,
        seed=seed,
        pool=pool,
    )


def pixels(source: TrainingBatches) -> list[bytes]:
    return [source[number][0].tobytes() for number in range(len(source))]


def test_a_batch_has_images_and_distributions(pool: Executor) -> None:
    images, targets = batches(pool)[1]

    assert images.shape == (8, 8, 8, 1)
    assert images.dtype == np.uint8
    assert targets.shape == (8, 2)
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets.sum(axis=1), 1)


def test_an_epoch_is_the_same_after_a_restart(pool: Executor) -> None:
    running = batches(pool)
    epochs = []
    for epoch in range(3):
        running.start_epoch(epoch)
        epochs.append(pixels(running))
    restarted = batches(pool)
    restarted.start_epoch(2)

    assert pixels(restarted) == epochs[2]
    assert epochs[1] != epochs[2]


def test_a_batch_does_not_depend_on_what_was_asked_before(pool: Executor) -> None:
    one, other = batches(pool), batches(pool)

    assert one[2][0].tobytes() == pixels(other)[2]
    assert one[2][0].tobytes() == pixels(other)[2]


def test_another_seed_is_another_sequence(pool: Executor) -> None:
    assert pixels(batches(pool, seed=1)) != pixels(batches(pool))


def test_only_the_given_positions_are_used(pool: Executor) -> None:
    source = batches(pool, strata=None, augmentation=AugmentationConfig())
    known = {image.tobytes(): row for row, image in enumerate(IMAGES)}

    rows = [known[image.tobytes()] for number in range(len(source)) for image in source[number][0]]

    assert len(set(rows)) == len(rows) == 24
    assert min(rows) >= 2


def test_a_training_split_smaller_than_a_batch_is_one_batch(pool: Executor) -> None:
    source = TrainingBatches(
        IMAGES,
        np.array([1, 20]),
        LABELS,
        classes=2,
        batch_size=8,
        strata=ONE_SOURCE,
        images_per_epoch=None,
        augmentation=NOISY,
        seed=0,
        pool=pool,
    )

    assert len(source) == 1
    assert len(source[0][0]) == 2


def test_mixup_is_applied_where_the_recipe_asks_for_it(pool: Executor) -> None:
    mixed = batches(pool, augmentation=AugmentationConfig(mixup_alpha=1))

    targets = np.concatenate([mixed[number][1] for number in range(len(mixed))])

    assert ((targets > 0.01) & (targets < 0.99)).any()


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


@pytest.mark.parametrize("strata", [None, ONE_SOURCE])
@pytest.mark.parametrize("images", [8, 64])
def test_an_epoch_is_as_long_as_it_is_asked_to_be(
    pool: Executor, strata: NDArray[np.int64] | None, images: int
) -> None:
    source = batches(pool, strata=strata, images_per_epoch=images)

    assert sum(len(source[number][0]) for number in range(len(source))) == images


def test_prediction_reads_the_positions_in_order() -> None:
    source = ImageBatches(IMAGES, np.array([5, 3, 9]), batch_size=2)

    rows = np.concatenate([source[number][0] for number in range(len(source))])

    np.testing.assert_array_equal(rows, IMAGES[[5, 3, 9]])
