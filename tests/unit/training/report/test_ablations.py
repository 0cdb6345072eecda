from dataclasses import replace

import numpy as np

from tests.unit.training.report.planted import IMAGES, SIDE, MaterialOf, region
from training.report.ablations import border_only, lung_masked
from training.report.checks import Outcome
from training.report.material import LungMasks


def values(outcome: Outcome) -> dict[str, float]:
    return {metric.name: metric.value for metric in outcome.metrics}


def lungs_inside() -> LungMasks:
    rows = np.arange(0, IMAGES)
    return LungMasks(rows, np.broadcast_to(region("inside"), (len(rows), SIDE, SIDE)))


def test_a_model_that_reads_the_border_is_exposed_by_the_border_alone(
    material_of: MaterialOf,
) -> None:
    outcome = border_only(material_of(sign="border", looks_at="border"))

    assert values(outcome)["border_only_auroc"] > 0.95
    assert values(outcome)["border_pixels_auroc"] > 0.95


def test_a_model_that_reads_the_inside_knows_nothing_from_the_border(
    material_of: MaterialOf,
) -> None:
    material = material_of(sign="inside", looks_at="inside")

    outcome = border_only(material)

    whole = {metric.name: metric.value for metric in outcome.details}
    assert whole["whole_image_auroc"] > 0.95
    assert values(outcome)["border_only_auroc"] == 0.5
    assert values(outcome)["border_pixels_auroc"] < 0.75


def test_a_shortcut_in_the_border_is_found_though_the_model_does_not_use_it(
    material_of: MaterialOf,
) -> None:
    outcome = border_only(material_of(sign="border", looks_at="inside"))

    assert values(outcome)["border_only_auroc"] == 0.5
    assert values(outcome)["border_pixels_auroc"] > 0.95


def test_the_border_without_a_positive_finding_has_a_macro_auroc(material_of: MaterialOf) -> None:
    material = replace(material_of(sign="border", looks_at="border"), positive=None)

    names = set(values(border_only(material)))

    assert names == {"border_only_macro_auroc", "border_pixels_macro_auroc"}


def test_a_model_that_reads_the_lungs_is_lost_without_them(material_of: MaterialOf) -> None:
    outcome = lung_masked(material_of(sign="inside", looks_at="inside", lungs=lungs_inside))

    assert values(outcome)["lungs_removed_auroc"] == 0.5
    assert values(outcome)["lungs_only_auroc"] > 0.95


def test_a_model_that_reads_the_border_does_not_miss_the_lungs(material_of: MaterialOf) -> None:
    outcome = lung_masked(material_of(sign="border", looks_at="border", lungs=lungs_inside))

    assert values(outcome)["lungs_removed_auroc"] > 0.95
    assert values(outcome)["lungs_only_auroc"] == 0.5


def test_without_lung_masks_nothing_is_said_of_the_lungs(material_of: MaterialOf) -> None:
    outcome = lung_masked(material_of(sign="inside", looks_at="inside"))

    assert not outcome.has_figures
    assert "not done" in outcome.summary
