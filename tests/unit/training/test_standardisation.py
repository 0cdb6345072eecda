import keras
import numpy as np
import pytest
from keras import applications
from numpy.typing import NDArray

from training.standardisation import Mode, Standardisation

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1), dtype=np.uint8)


def standardised(
    mode: Mode, images: NDArray[np.uint8] = IMAGES, channels: int | None = None
) -> NDArray[np.float32]:
    layer = Standardisation(mode, local_window=0.2, channels=channels)
    return np.asarray(keras.ops.convert_to_numpy(layer(images)))


def test_fixed_standardisation_is_from_minus_one_to_one() -> None:
    ends = np.array([0, 255], np.uint8).reshape(1, 2, 1, 1)

    assert standardised("fixed", ends).ravel().tolist() == [-1, 1]


def test_standardisation_by_image_takes_exposure_out() -> None:
    darker = (IMAGES // 2).astype(np.uint8)

    assert standardised("image").mean() == pytest.approx(0, abs=1e-4)
    assert standardised("image").std() == pytest.approx(1, abs=1e-2)
    np.testing.assert_allclose(standardised("image", darker), standardised("image"), atol=0.05)
    # An even image has no noise to blow up.
    even = np.full((1, 64, 64, 1), 90, np.uint8)
    assert np.abs(standardised("image", even)).max() < 1e-3
    assert np.abs(standardised("local", even)).max() < 1e-3


def test_local_standardisation_takes_a_slope_of_exposure_out() -> None:
    slope = np.linspace(0.3, 1, 64)[:, np.newaxis, np.newaxis]
    uneven = (IMAGES * slope).astype(np.uint8)

    spread = standardised("local", uneven)[:, 12:-12].std(axis=(0, 2, 3))

    assert spread.min() / spread.max() > 0.7
    assert standardised("image", uneven)[:, [14, -14]].std(axis=(0, 2, 3)).min() < 0.7


def test_networks_of_imagenet_get_what_their_own_preprocessing_gives() -> None:
    colour = np.repeat(IMAGES, 3, axis=-1).astype(np.float32)

    own = applications.mobilenet_v2.preprocess_input(colour)

    np.testing.assert_allclose(standardised("fixed", channels=3), own, rtol=1e-5, atol=1e-5)
