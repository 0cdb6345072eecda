from dataclasses import replace

import numpy as np

from tests.unit.training.report.planted import IMAGES, MaterialOf
from training.report.abstention import conformal
from training.report.material import Material


def with_validation(material: Material, images: int = IMAGES) -> Material:
    said = material.predictions
    return replace(
        material, validation=lambda: (said.probabilities[:images], said.classes[:images])
    )


def test_without_validation_images_nothing_is_promised(material_of: MaterialOf) -> None:
    assert not conformal(material_of("inside", "inside")).has_figures


def test_too_few_validation_images_are_a_reason_and_no_crash(material_of: MaterialOf) -> None:
    outcome = conformal(with_validation(material_of("inside", "inside"), images=10))

    assert not outcome.has_figures
    assert "too few for a coverage of 0.9" in outcome.summary


def test_what_a_gate_stops_counts_as_referred(material_of: MaterialOf) -> None:
    material = with_validation(material_of("inside", "inside"))
    gated = replace(material.predictions, gated=np.arange(IMAGES) % 4 == 0)

    [before, after] = [
        {m.name: m.value for m in conformal(shown).metrics if m.label is None}
        for shown in (material, replace(material, predictions=gated))
    ]

    assert before["conformal_coverage"] == after["conformal_coverage"] >= 0.9
    assert after["conformal_refer_share"] >= max(0.25, before["conformal_refer_share"])


def test_a_small_source_is_named_with_its_count(material_of: MaterialOf) -> None:
    sources = np.where(np.arange(IMAGES) < 5, "small", "large")

    outcome = conformal(with_validation(material_of("inside", "inside", sources=sources)))

    assert "small (5)" in outcome.summary
    assert {m.source for m in outcome.metrics} == {None, "large"}
