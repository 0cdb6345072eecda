from collections.abc import Mapping

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training_data import tiny_recipe
from training.heatmap_trust import (
    activation_inside,
    heatmap_trust,
    lungs_alone,
    map_similarity,
    points_inside,
    sanity_check,
    shuffled,
)
from training.models import build_classifier, with_serving_outputs

RANDOM = np.random.default_rng(0)
MASKS = np.zeros((4, 32, 32), bool)
MASKS[:, 8:24, 4:12] = MASKS[:, 8:24, 20:28] = True
IMAGES = RANDOM.integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
PATIENTS = np.array(["a", "a", "b", "c"])


def bright_places(images: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
    brightness = images.astype(np.float32) - 100
    return {"activation_map": np.concatenate([-brightness, brightness], axis=-1)}


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_classifier(tiny_recipe(model={"width": 8}))


def pneumonia_maps(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    serving = with_serving_outputs(model, temperature=1)
    return np.asarray(serving(images)["activation_map"])[..., 1]


def test_activation_is_shared_out_between_inside_and_outside() -> None:
    maps = np.zeros((4, 32, 32), np.float32)
    maps[0] = np.where(MASKS[0], 1, 0)
    maps[1] = np.where(MASKS[1], -5, 1)
    maps[2, 8, 4], maps[2, 0, 0] = 3, 1

    inside = activation_inside(maps, MASKS)

    assert inside[:3].tolist() == pytest.approx([1, 0, 0.75])
    assert np.isnan(inside[3])


def test_a_map_points_where_it_is_strongest() -> None:
    maps = np.full((4, 32, 32), -1, np.float32)
    maps[0, 10, 6], maps[1, 0, 0] = 1, 1
    maps[2, 10, 6], maps[2, 0, 0] = 1, 2

    points = points_inside(maps, MASKS)

    assert points[:3].tolist() == [1, 0, 0]
    assert np.isnan(points[3])


def test_a_coarse_map_is_fitted_to_the_mask() -> None:
    maps = np.ones((4, 2, 2), np.float32)

    assert activation_inside(maps, MASKS) == pytest.approx(MASKS.mean(axis=(1, 2)))


def test_all_but_the_lungs_is_covered_with_its_mean() -> None:
    covered = lungs_alone(IMAGES, MASKS)

    assert covered.dtype == np.uint8
    for image, before, mask in zip(covered[..., 0], IMAGES[..., 0], MASKS, strict=True):
        assert np.array_equal(image[mask], before[mask])
        assert set(image[~mask].tolist()) == {round(before[~mask].mean())}


def test_an_image_that_is_all_lung_stays_as_it_is() -> None:
    assert np.array_equal(lungs_alone(IMAGES, np.ones_like(MASKS)), IMAGES)


def test_activation_in_the_lungs_beats_an_even_map() -> None:
    images = np.where(MASKS, 200, 20).astype(np.uint8)[..., np.newaxis]

    trust = heatmap_trust(bright_places, images, MASKS, PATIENTS, finding=1, seed=0)

    assert trust.area.value == pytest.approx(MASKS.mean())
    assert trust.whole_image.inside.value == pytest.approx(1)
    assert trust.whole_image.pointing.value == 1
    assert trust.whole_image.images == 4


def test_a_shortcut_beside_the_lungs_goes_when_they_are_alone() -> None:
    images = np.where(MASKS, 110, 0).astype(np.uint8)[..., np.newaxis]
    images[:, :4, :4] = 255

    trust = heatmap_trust(bright_places, images, MASKS, PATIENTS, finding=1, seed=0)

    assert trust.whole_image.pointing.value == 0
    assert trust.whole_image.inside.value < 0.6
    assert trust.lungs_only.pointing.value == 1
    assert trust.lungs_only.inside.value == pytest.approx(1)


def test_images_without_any_activation_are_not_counted() -> None:
    images = np.where(MASKS, 200, 20).astype(np.uint8)[..., np.newaxis]
    images[2:] = 0

    trust = heatmap_trust(bright_places, images, MASKS, PATIENTS, finding=1, seed=0)

    assert trust.whole_image.images == 2
    assert trust.whole_image.inside.value == pytest.approx(1)


def test_maps_are_compared_by_rank() -> None:
    maps = RANDOM.normal(size=(2, 6, 6)).astype(np.float32)

    assert map_similarity(maps, np.exp(maps)) == pytest.approx([1, 1])
    assert map_similarity(maps, -maps) == pytest.approx([-1, -1])


def test_shuffling_the_head_leaves_the_rest_alone(network: keras.Model) -> None:
    other = shuffled(network, "head", seed=1)

    same = [
        np.array_equal(a, b)
        for a, b in zip(network.get_weights(), other.get_weights(), strict=True)
    ]
    assert not same[-2]
    assert all(same[:-2])


def test_shuffled_weights_keep_their_values_in_another_order(network: keras.Model) -> None:
    before = [weights.copy() for weights in network.get_weights()]

    other = shuffled(network, "all", seed=1)

    for original, kept, moved in zip(
        before, network.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(kept, original)
        np.testing.assert_array_equal(np.sort(moved, axis=None), np.sort(original, axis=None))


def test_shuffled_weights_change_the_map(network: keras.Model) -> None:
    check = sanity_check(network, IMAGES, PATIENTS, maps_of=pneumonia_maps, seed=0)

    assert check.images == 4
    assert check.all.value < 0.9
    assert check.head.value < 0.999


def test_a_map_that_ignores_the_weights_is_found_out(network: keras.Model) -> None:
    def edges(_: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.abs(np.diff(images[..., 0].astype(np.float32), axis=1))

    check = sanity_check(network, IMAGES, PATIENTS, maps_of=edges, seed=0)

    assert check.all.value == pytest.approx(1)
    assert check.head.value == pytest.approx(1)
