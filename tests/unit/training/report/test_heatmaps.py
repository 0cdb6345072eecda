from dataclasses import replace

import keras
import numpy as np
import pytest

from contract.findings import Label
from tests.training_data import tiny_recipe
from tests.unit.training.report.planted import IMAGES, SIDE, MaterialOf, region
from training.errors import LayoutMismatch
from training.models import build_classifier
from training.report.heatmaps import expert_scores, heatmaps
from training.report.material import LungMasks, Outputs
from training.severity import SeverityCorrelation


def lungs_inside() -> LungMasks:
    """Of every image but the first, in which no lung was found."""
    masks = np.broadcast_to(region("inside"), (IMAGES, SIDE, SIDE)).copy()
    masks[1] = False
    return LungMasks(np.arange(IMAGES), masks)


def correlation(score: str, lower: float) -> SeverityCorrelation:
    return SeverityCorrelation(
        score=score, value=0.4, lower=lower, upper=0.7, images=30, patients=20
    )


def test_a_map_that_is_strong_in_the_lungs_is_told_from_an_even_one(
    material_of: MaterialOf,
) -> None:
    material = material_of("inside", "inside", lungs=lungs_inside)

    def pointed(images: np.ndarray) -> Outputs:
        inside = np.where(region("inside"), 1.0, 0.1).astype(np.float32)
        maps = np.stack([-inside, inside], axis=-1)
        return {"activation_map": np.broadcast_to(maps, (len(images), *maps.shape))}

    outcome = heatmaps(replace(material, predict=pointed))

    found = {m.name: m for m in outcome.metrics}
    assert found["heatmap_pointing"].value == 1
    assert found["heatmap_even_map_inside"].value == 0.25
    assert found["heatmap_inside"].value > 0.7
    assert found["heatmap_inside"].images == IMAGES // 2 - 1
    assert {m.label for m in outcome.metrics} == {"pneumonia"}


def test_of_many_images_those_looked_at_come_from_the_whole_list(
    material_of: MaterialOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = material_of("inside", "inside", lungs=lungs_inside)
    members = np.flatnonzero(material.predictions.classes == 1)
    monkeypatch.setattr("training.report.heatmaps.MAX_IMAGES", 20)
    seen: list[np.ndarray] = []

    def watched(images: np.ndarray) -> Outputs:
        seen.append(images)
        return material.predict(images)

    heatmaps(replace(material, predict=watched))

    assert len(members) > len(seen[0]) == 20
    np.testing.assert_array_equal(seen[0][-1], material.images[members[-1]])


def test_without_lungs_the_weights_are_shuffled_all_the_same(material_of: MaterialOf) -> None:
    keras.utils.set_random_seed(0)
    network = build_classifier(tiny_recipe(model={"width": 4}))

    outcome = heatmaps(replace(material_of("inside", "inside"), network=network))

    found = {m.name: m.value for m in outcome.metrics}
    assert found.keys() == {"heatmap_alike_head_shuffled", "heatmap_alike_all_shuffled"}
    assert found["heatmap_alike_all_shuffled"] < 0.95


def test_without_lungs_and_weights_nothing_is_done(material_of: MaterialOf) -> None:
    material = material_of("inside", "inside")

    assert not heatmaps(material).has_figures
    assert not expert_scores(material).has_figures


def test_a_severity_is_shown_only_where_its_interval_lies_above_zero(
    material_of: MaterialOf,
) -> None:
    material = material_of("inside", "inside")
    unsure = (correlation("extent", -0.1), correlation("opacity", -0.2))

    def scored(*found: SeverityCorrelation) -> str:
        label: Label = "pneumonia"
        return expert_scores(replace(material, severity=lambda: (label, found))).summary

    assert "no severity" in scored(*unsure)
    assert "above zero for: extent" in scored(correlation("extent", 0.1), unsure[1])


def test_missing_scores_are_a_reason_and_no_crash(material_of: MaterialOf) -> None:
    def missing() -> tuple[Label, tuple[SeverityCorrelation, ...]]:
        raise LayoutMismatch("There is no severity.csv.")

    outcome = expert_scores(replace(material_of("inside", "inside"), severity=missing))

    assert outcome.summary == "There is no severity.csv. Not done."
