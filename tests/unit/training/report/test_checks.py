from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.manifest import OOD_SCORE, Metric, OutOfDistribution
from contract.quality import Limit, QualityLimits
from tests.exploration_data import pattern
from tests.synthetic import as_png
from tests.unit.training.report.planted import IMAGES, planted, region
from training.errors import DataError
from training.report.checks import (
    CHANCE,
    PROBE,
    activation_inside,
    border_only,
    cross_validated,
    heatmaps,
    lung_masked,
    out_of_distribution,
    quality_gate,
    robustness,
    source_probe,
    with_enough_groups,
)
from training.report.context import CheckResult, Images, Outputs

# Both sources have images of both classes.
SOURCES = np.where(np.arange(IMAGES) // 2 % 2, "here", "there")
MASKS = np.zeros((4, 32, 32), bool)
MASKS[:, 8:24, 4:12] = MASKS[:, 8:24, 20:28] = True
BRIGHT_ENOUGH = QualityLimits(limits=(Limit(check="exposure", lower=0.2, upper=0.8),))
OOD = OutOfDistribution(limit=1.0, method="for a test")


def silent(images: Images) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 1, (len(images), 8)).astype(np.float32)


def readable(images: Images) -> NDArray[np.float32]:
    told: NDArray[np.float32] = silent(images) + 3 * (SOURCES == "here")[:, np.newaxis]
    return told


def lungs_inside(images: Images) -> NDArray[np.bool_]:
    return np.broadcast_to(region("inside"), images.shape[:3])


def values(result: CheckResult) -> dict[str, float]:
    return {metric.name: metric.value for metric in result.metrics}


def pointing(image: NDArray[np.uint8]) -> dict[str, float]:
    """The figures of a model whose map of pneumonia is the brightness of an image."""

    def brightness(images: Images) -> Outputs:
        grays = images.astype(np.float32) - 100
        return {"activation_map": np.concatenate([-grays, grays], axis=-1)}

    shown = np.broadcast_to(image, (IMAGES, *image.shape))
    return values(
        heatmaps(
            planted("inside", "inside", segment=lungs_inside, images=shown, predict=brightness)
        )
    )


def curve(result: CheckResult, axis: str, name: str) -> list[Metric]:
    curves = next(curves for title, curves in result.panels if title.startswith(axis))
    return [metric for found, _, metrics in curves if found == name for metric in metrics]


def test_a_sample_keeps_the_share_of_each_class_of_each_source() -> None:
    sources = np.where(np.arange(IMAGES) < 40, "large", "small")
    context = planted("inside", "inside", sources=sources)

    rows = context.sample(15)

    assert len(np.unique(rows)) == 15
    assert (sources[rows] == "large").sum() == 10
    assert abs((context.predictions.classes[rows] == 1).sum() - 7.5) < 1
    assert (rows == context.sample(15)).all()
    assert (rows != planted("inside", "inside", sources=sources, seed=1).sample(15)).any()
    assert context.sample(1000).tolist() == list(range(IMAGES))


def test_a_source_that_the_features_carry_is_exposed() -> None:
    by_class = np.where(np.arange(IMAGES) % 2, "here", "there")

    carried, not_carried, within_no_class = (
        {(m.name, m.label): m for m in source_probe(context).metrics}
        for context in (
            planted("inside", "inside", sources=SOURCES, features=readable),
            planted("inside", "inside", sources=SOURCES, features=silent),
            planted("inside", "inside", sources=by_class, features=readable),
        )
    )

    assert carried[PROBE, None].value > 0.95
    assert min(carried[PROBE, label].value for label in ("normal", "pneumonia")) > 0.9
    assert carried[CHANCE, None].value == 0.5
    assert not_carried[PROBE, None].lower < 0.5 < not_carried[PROBE, None].upper
    assert {label for _, label in within_no_class} == {None}


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
    sign: str, looks_at: str, from_border: float, in_border: float
) -> None:
    found = values(border_only(planted(sign, looks_at)))

    assert found["border_only_auroc"] == pytest.approx(from_border, abs=0.05)
    assert found["border_pixels_auroc"] == pytest.approx(in_border, abs=0.25)
    assert (found["border_pixels_auroc"] > 0.95) == (in_border == 1)
    # Without a positive finding there are macro AUROCs.
    names = set(values(border_only(planted(sign, looks_at, positive=None))))
    assert names == {"border_only_macro_auroc", "border_pixels_macro_auroc"}


@pytest.mark.parametrize(
    ("place", "removed", "only"), [("inside", 0.5, 1), ("border", 1, 0.5)], ids=["lungs", "border"]
)
def test_a_model_is_lost_without_what_it_reads(place: str, removed: float, only: float) -> None:
    found = values(lung_masked(planted(place, place, segment=lungs_inside)))

    assert found["lungs_removed_auroc"] == pytest.approx(removed, abs=0.05)
    assert found["lungs_only_auroc"] == pytest.approx(only, abs=0.05)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (source_probe, "one source"),
        (lung_masked, "not done"),
        (heatmaps, "not done"),
        (quality_gate, "not done"),
        (out_of_distribution, "not done"),
    ],
)
def test_a_check_without_what_it_needs_says_so(check: Any, said: str) -> None:
    result = check(planted("inside", "inside"))

    assert not result.metrics
    assert said in result.summary


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
    # A coarse map is fitted to the mask.
    even, _ = activation_inside(np.ones((4, 2, 2), np.float32), MASKS)
    assert even == pytest.approx(MASKS.mean(axis=(1, 2)))


def test_activation_in_the_lungs_is_told_from_a_shortcut_beside_them() -> None:
    lungs, marked = (np.where(region("inside"), *grays) for grays in ((200, 20), (110, 0)))
    marked[:4, :4] = 255

    inside, beside = (pointing(one.astype(np.uint8)[..., np.newaxis]) for one in (lungs, marked))

    assert inside["heatmap_even_map_inside"] == 0.25
    assert inside["heatmap_inside"] == pytest.approx(1)
    assert inside["heatmap_pointing"] == 1
    assert beside["heatmap_pointing"] == 0
    assert beside["heatmap_inside"] < 0.6
    # The shortcut goes when the lungs are alone.
    assert beside["heatmap_pointing_lungs_only"] == 1
    assert beside["heatmap_inside_lungs_only"] == pytest.approx(1)


def test_the_worst_level_of_each_corruption_goes_on_the_card() -> None:
    context = planted("inside", "inside")
    result = robustness(context)

    # The model reads brightness, so it is wrong on inverted images.
    [inverted] = curve(result, "Inversion", "AUROC")
    assert inverted.value < 0.05
    assert inverted in result.metrics
    assert inverted.name == "under_inversion_1_auroc"
    assert len(result.metrics) == len(result.panels)
    [worst] = [metric for metric in result.metrics if metric.name.startswith("under_corner_")]
    assert worst.value == min(metric.value for metric in curve(result, "Cut off", "AUROC"))
    # Images of one class have none.
    context.predictions.classes[:] = 1
    assert not robustness(context).metrics


def test_the_quality_gate_tells_what_it_refuses_as_it_is_and_corrupted() -> None:
    context = planted("inside", "inside", quality=BRIGHT_ENOUGH)

    [refused] = quality_gate(context).metrics
    darkened = curve(robustness(context), "Exposure", "Refused by the quality gate")

    assert refused.name == "quality_refused"
    assert refused.value < 0.1
    assert darkened[-1].value == 1


def test_what_lies_beyond_the_limit_is_counted_by_its_kind(tmp_path: Path) -> None:
    for number in range(3):
        file = tmp_path / "Gray cards" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(as_png(np.full((40, 40), 100 + number, np.uint8)))
    (tmp_path / "noise" / "deep").mkdir(parents=True)
    (tmp_path / "noise" / "deep" / "a.png").write_bytes(as_png(pattern(1)))
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "no-image.txt").write_text("Dear colleague")

    def scored(images: Images) -> Outputs:
        """Only even pictures are strange to it."""
        return {OOD_SCORE: 2.0 * (images.std(axis=(1, 2, 3)) < 1).astype(np.float32)}

    parts: dict[str, Any] = {"predict": scored, "ood": OOD}
    result = out_of_distribution(planted("inside", "inside", ood_folder=tmp_path, **parts))

    found = {metric.name: metric for metric in result.metrics}
    assert found["unfamiliar_refused"].value == 0
    assert found["strange_gray_cards_caught"].value == 1
    assert found["strange_gray_cards_caught"].images == 3
    none_caught = found["strange_noise_caught"]
    assert (none_caught.value, none_caught.lower) == (0, 0)
    # Wilson: of n with none caught, 1.96² / (n + 1.96²).
    assert none_caught.upper == pytest.approx(3.8415 / (none_caught.images + 3.8415), rel=1e-3)
    assert not any("letters" in name for name in found)
    with pytest.raises(DataError, match="one folder for each kind"):
        out_of_distribution(planted("inside", "inside", ood_folder=tmp_path / "letters", **parts))
