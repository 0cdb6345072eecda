from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.training.report.planted import IMAGES, ContextOf, region
from training.report.checks import (
    CHANCE,
    PROBE,
    activation_inside,
    border_only,
    cross_validated,
    heatmaps,
    lung_masked,
    source_probe,
    with_enough_groups,
)
from training.report.context import CheckResult, Images, Outputs

# Both sources have images of both classes.
SOURCES = np.where(np.arange(IMAGES) // 2 % 2, "here", "there")
MASKS = np.zeros((4, 32, 32), bool)
MASKS[:, 8:24, 4:12] = MASKS[:, 8:24, 20:28] = True
PLANTED = (SOURCES == "here").astype(np.float32)


def readable(images: Images) -> NDArray[np.float32]:
    told: NDArray[np.float32] = silent(images) + 3 * PLANTED[:, np.newaxis]
    return told


def silent(images: Images) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 1, (len(images), 8)).astype(np.float32)


def lungs_inside(images: Images) -> NDArray[np.bool_]:
    return np.broadcast_to(region("inside"), images.shape[:3])


def brightness(images: Images) -> Outputs:
    grays = images.astype(np.float32) - 100
    return {"activation_map": np.concatenate([-grays, grays], axis=-1)}


def pointing(context_of: ContextOf, image: NDArray[np.uint8]) -> dict[str, float]:
    """The figures of a model whose map of pneumonia is the brightness of an image."""
    context = context_of("inside", "inside", segment=lungs_inside)
    shown = np.broadcast_to(image, context.images.shape)
    return values(heatmaps(replace(context, images=shown, predict=brightness)))


def values(result: CheckResult) -> dict[str, float]:
    return {metric.name: metric.value for metric in result.metrics}


def test_a_source_that_the_features_carry_is_exposed(context_of: ContextOf) -> None:
    context = context_of("inside", "inside", sources=SOURCES, features=readable)

    metrics = {(m.name, m.label): m.value for m in source_probe(context).metrics}

    assert metrics[PROBE, None] > 0.95
    assert metrics[PROBE, "normal"] > 0.9
    assert metrics[PROBE, "pneumonia"] > 0.9
    assert metrics[CHANCE, None] == 0.5


def test_features_that_say_nothing_of_the_source_do_no_better_than_guessing(
    context_of: ContextOf,
) -> None:
    context = context_of("inside", "inside", sources=SOURCES, features=silent)

    metrics = {(m.name, m.label): m for m in source_probe(context).metrics}

    assert metrics[PROBE, None].lower < 0.5 < metrics[PROBE, None].upper


def test_a_source_that_goes_with_the_class_is_not_probed_within_a_class(
    context_of: ContextOf,
) -> None:
    by_class = np.where(np.arange(IMAGES) % 2, "here", "there")
    context = context_of("inside", "inside", sources=by_class, features=readable)

    labels = {metric.label for metric in source_probe(context).metrics}

    assert labels == {None}


def test_one_source_leaves_nothing_to_tell_apart(context_of: ContextOf) -> None:
    result = source_probe(context_of("inside", "inside"))

    assert not result.metrics
    assert "one source" in result.summary


def test_the_learner_is_never_asked_of_a_patient_that_it_was_fitted_to() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat([f"patient-{number}" for number in range(20)], 4)
    targets = np.repeat(random.integers(0, 2, 20), 4)
    # Each patient has an unmistakable face, which says nothing of any other patient.
    faces = np.repeat(random.normal(0, 1, (20, 40)), 4, axis=0).astype(np.float32)

    probabilities = cross_validated(faces, targets, groups, seed=0)

    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == targets).mean() < 0.8


def test_a_target_with_four_groups_is_not_enough_for_five_folds() -> None:
    targets = np.array(["many"] * 5 + ["few"] * 8)
    groups = np.array(list("abcde") + list("ffgghhii"))

    assert with_enough_groups(targets, groups).tolist() == [True] * 5 + [False] * 8


@pytest.mark.parametrize(
    ("sign", "looks_at", "from_border", "in_border"),
    [("border", "border", 1, 1), ("border", "inside", 0.5, 1), ("inside", "inside", 0.5, 0.5)],
    ids=["used", "there but not used", "not there"],
)
def test_what_the_border_gives_away_is_told_from_what_the_model_reads_there(
    context_of: ContextOf, sign: str, looks_at: str, from_border: float, in_border: float
) -> None:
    found = values(border_only(context_of(sign, looks_at)))

    assert found["border_only_auroc"] == pytest.approx(from_border, abs=0.05)
    assert found["border_pixels_auroc"] == pytest.approx(in_border, abs=0.25)
    assert (found["border_pixels_auroc"] > 0.95) == (in_border == 1)


def test_the_border_without_a_positive_finding_has_a_macro_auroc(context_of: ContextOf) -> None:
    context = replace(context_of("border", "border"), positive=None)

    names = set(values(border_only(context)))

    assert names == {"border_only_macro_auroc", "border_pixels_macro_auroc"}


@pytest.mark.parametrize(
    ("place", "removed", "only"), [("inside", 0.5, 1), ("border", 1, 0.5)], ids=["lungs", "border"]
)
def test_a_model_is_lost_without_what_it_reads(
    context_of: ContextOf, place: str, removed: float, only: float
) -> None:
    found = values(lung_masked(context_of(place, place, segment=lungs_inside)))

    assert found["lungs_removed_auroc"] == pytest.approx(removed, abs=0.05)
    assert found["lungs_only_auroc"] == pytest.approx(only, abs=0.05)


def test_without_a_segmenter_nothing_is_said_of_the_lungs(context_of: ContextOf) -> None:
    result = lung_masked(context_of("inside", "inside"))

    assert not result.metrics
    assert "not done" in result.summary


def test_activation_is_shared_out_between_inside_and_outside() -> None:
    maps = np.zeros((4, 32, 32), np.float32)
    maps[0] = np.where(MASKS[0], 1, 0)
    maps[1] = np.where(MASKS[1], -5, 1)
    maps[2, 8, 4], maps[2, 0, 0] = 3, 1

    inside, strongest = activation_inside(maps, MASKS)

    assert inside[:3].tolist() == pytest.approx([1, 0, 0.75])
    assert strongest[:3].tolist() == [1, 0, 1]
    assert np.isnan(inside[3])
    assert np.isnan(strongest[3])


def test_a_coarse_map_is_fitted_to_the_mask() -> None:
    inside, _ = activation_inside(np.ones((4, 2, 2), np.float32), MASKS)

    assert inside == pytest.approx(MASKS.mean(axis=(1, 2)))


def test_activation_in_the_lungs_beats_an_even_map(context_of: ContextOf) -> None:
    bright_lungs = np.where(region("inside"), 200, 20).astype(np.uint8)[..., np.newaxis]

    figures = pointing(context_of, bright_lungs)

    assert figures["heatmap_even_map_inside"] == 0.25
    assert figures["heatmap_inside"] == pytest.approx(1)
    assert figures["heatmap_pointing"] == 1


def test_a_shortcut_beside_the_lungs_goes_when_they_are_alone(context_of: ContextOf) -> None:
    marked = np.where(region("inside"), 110, 0).astype(np.uint8)[..., np.newaxis]
    marked[:4, :4] = 255

    figures = pointing(context_of, marked)

    assert figures["heatmap_pointing"] == 0
    assert figures["heatmap_inside"] < 0.6
    assert figures["heatmap_pointing_lungs_only"] == 1
    assert figures["heatmap_inside_lungs_only"] == pytest.approx(1)


def test_without_lungs_nothing_is_said_of_heatmaps(context_of: ContextOf) -> None:
    assert not heatmaps(context_of("inside", "inside")).metrics
