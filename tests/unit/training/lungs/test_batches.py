import numpy as np
import pytest

from tests.lung_data import tiny_segmenter
from tests.synthetic import synthetic_radiograph
from training.config import AugmentationConfig
from training.lungs.batches import LungBatches, augment_pair

MOVES = AugmentationConfig(
    flip_probability=0.5, rotation_degrees=20, scale=0.3, aspect=0.2, shear=0.1, shift=0.1
)
LOOKS = AugmentationConfig(gamma=0.5, noise_probability=1, erase_probability=1)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 1), dtype=np.uint8)
MASKS = np.where(IMAGES > 127, np.uint8(255), np.uint8(0))


def batches(images_per_epoch: int = 8) -> LungBatches:
    recipe = tiny_segmenter(training={"images_per_epoch": images_per_epoch})
    return LungBatches(
        IMAGES, MASKS, training=recipe.training, augmentation=recipe.augmentation, seed=1
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_mask_moves_with_its_image(seed: int) -> None:
    chest = synthetic_radiograph(48, 48)

    image, mask = augment_pair(chest, chest, np.random.default_rng(seed), MOVES)

    assert np.array_equal(image, mask)
    assert not np.array_equal(image, chest)


def test_exposure_noise_and_objects_leave_the_mask_alone() -> None:
    chest = synthetic_radiograph(48, 48)

    image, mask = augment_pair(chest, chest, np.random.default_rng(0), LOOKS)

    assert np.array_equal(mask, chest)
    assert not np.array_equal(image, chest)


def test_a_batch_has_masks_from_no_lung_to_lung() -> None:
    images, masks = batches()[0]

    assert images.shape == masks.shape == (4, 32, 32, 1)
    assert images.dtype == np.uint8
    assert masks.dtype == np.float32
    assert (masks.min(), masks.max()) == (0, 1)


def test_few_images_fill_a_long_epoch_evenly() -> None:
    drawn = batches(images_per_epoch=24)

    assert len(drawn) == 6
    assert np.bincount(drawn._order).tolist() == [4] * 6


def test_a_restarted_epoch_sees_the_same_batches_and_another_epoch_other_ones() -> None:
    first, again, later = batches(), batches(), batches()
    first.start_epoch(3)
    [first[0], first[1]]
    again.start_epoch(3)
    later.start_epoch(4)

    assert np.array_equal(first[1][0], again[1][0])
    assert np.array_equal(first[1][1], again[1][1])
    assert not np.array_equal(first[1][0], later[1][0])
