from dataclasses import replace

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training_data import tiny_recipe
from tests.unit.training.report.planted import IMAGES, SIDE, ContextOf, region
from training.models import build_classifier
from training.report.context import Images, LungMasks, Outputs
from training.report.heatmaps import (
    activation_inside,
    heatmaps,
    map_similarity,
    shuffled,
)

MASKS = np.zeros((4, 32, 32), bool)
MASKS[:, 8:24, 4:12] = MASKS[:, 8:24, 20:28] = True


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_classifier(tiny_recipe(model={"width": 8}))


def lungs_inside() -> LungMasks:
    """Of every image but one, in which no lung was found."""
    masks = np.broadcast_to(region("inside"), (IMAGES, SIDE, SIDE)).copy()
    masks[1] = False
    return LungMasks(np.arange(IMAGES), masks)


def brightness(images: Images) -> Outputs:
    grays = images.astype(np.float32) - 100
    return {"activation_map": np.concatenate([-grays, grays], axis=-1)}


def found(context_of: ContextOf, images: NDArray[np.uint8]) -> dict[str, float]:
    """The figures of a model whose map of pneumonia is the brightness of an image."""
    context = context_of("inside", "inside", lungs=lungs_inside)
    shown = np.broadcast_to(images, context.images.shape)
    result = heatmaps(replace(context, images=shown, predict=brightness))
    return {metric.name: metric.value for metric in result.metrics}


def test_activation_is_shared_out_between_inside_and_outside() -> None:
    maps = np.zeros((4, 32, 32), np.float32)
    maps[0] = np.where(MASKS[0], 1, 0)
    maps[1] = np.where(MASKS[1], -5, 1)
    maps[2, 8, 4], maps[2, 0, 0] = 3, 1

    inside, pointing = activation_inside(maps, MASKS)

    assert inside[:3].tolist() == pytest.approx([1, 0, 0.75])
    assert pointing[:3].tolist() == [1, 0, 1]
    assert np.isnan(inside[3])
    assert np.isnan(pointing[3])


def test_a_coarse_map_is_fitted_to_the_mask() -> None:
    inside, _ = activation_inside(np.ones((4, 2, 2), np.float32), MASKS)

    assert inside == pytest.approx(MASKS.mean(axis=(1, 2)))


def test_activation_in_the_lungs_beats_an_even_map(context_of: ContextOf) -> None:
    bright_lungs = np.where(region("inside"), 200, 20).astype(np.uint8)[..., np.newaxis]

    figures = found(context_of, bright_lungs)

    assert figures["heatmap_even_map_inside"] == 0.25
    assert figures["heatmap_inside"] == pytest.approx(1)
    assert figures["heatmap_pointing"] == 1


def test_a_shortcut_beside_the_lungs_goes_when_they_are_alone(context_of: ContextOf) -> None:
    marked = np.where(region("inside"), 110, 0).astype(np.uint8)[..., np.newaxis]
    marked[:4, :4] = 255

    figures = found(context_of, marked)

    assert figures["heatmap_pointing"] == 0
    assert figures["heatmap_inside"] < 0.6
    assert figures["heatmap_pointing_lungs_only"] == 1
    assert figures["heatmap_inside_lungs_only"] == pytest.approx(1)


def test_images_without_lungs_or_activation_are_not_counted(context_of: ContextOf) -> None:
    context = context_of("inside", "inside", lungs=lungs_inside)
    images = context.images.copy()
    images[3] = 0

    result = heatmaps(replace(context, images=images, predict=brightness))

    counts = {metric.name: metric.images for metric in result.metrics}
    assert counts["heatmap_even_map_inside"] == IMAGES // 2 - 1
    assert counts["heatmap_inside"] == IMAGES // 2 - 2
    assert {metric.label for metric in result.metrics} == {"pneumonia"}


def test_of_many_images_those_looked_at_come_from_the_whole_list(
    context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of("inside", "inside", lungs=lungs_inside)
    members = np.flatnonzero(context.predictions.classes == 1)
    monkeypatch.setattr("training.report.heatmaps.MAX_IMAGES", 20)
    seen: list[Images] = []

    def watched(images: Images) -> Outputs:
        seen.append(images)
        return context.predict(images)

    heatmaps(replace(context, predict=watched))

    assert len(members) > len(seen[0]) == 20
    np.testing.assert_array_equal(seen[0][-1], context.images[members[-1]])


def test_maps_are_compared_by_rank() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 6, 6)).astype(np.float32)

    assert map_similarity(maps, np.exp(maps)) == pytest.approx([1, 1])
    assert map_similarity(maps, -maps) == pytest.approx([1, 1])
    assert map_similarity(maps, np.ones_like(maps)).tolist() == [0, 0]


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


def test_without_lungs_the_weights_are_shuffled_all_the_same(
    context_of: ContextOf, network: keras.Model
) -> None:
    result = heatmaps(replace(context_of("inside", "inside"), network=network))

    figures = {metric.name: metric.value for metric in result.metrics}
    assert figures.keys() == {"heatmap_alike_head_shuffled", "heatmap_alike_all_shuffled"}
    assert figures["heatmap_alike_all_shuffled"] < 0.9


def test_without_lungs_and_weights_nothing_is_done(context_of: ContextOf) -> None:
    context = context_of("inside", "inside")

    assert not heatmaps(context).has_figures
