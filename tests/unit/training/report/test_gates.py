from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.manifest import OOD_SCORE, OutOfDistribution
from contract.quality import Limit, QualityLimits
from tests.unit.training.report.planted import MaterialOf
from training.report.gates import quality_gate, unfamiliar
from training.report.material import Images, Outputs

BRIGHT_ENOUGH = QualityLimits(limits=(Limit(check="exposure", lower=0.2, upper=0.8),))
FAMILIAR = OutOfDistribution(limit=1.0, method="for a test")


def test_a_model_without_limits_says_that_nothing_was_done(material_of: MaterialOf) -> None:
    material = material_of("inside", "inside")

    assert not quality_gate(material).has_figures
    assert not unfamiliar(material).has_figures


def test_the_quality_gate_tells_what_it_refuses_and_what_it_catches(
    material_of: MaterialOf, tmp_path: Path
) -> None:
    plot = tmp_path / "quality.png"
    material = replace(material_of("inside", "inside"), quality=BRIGHT_ENOUGH, quality_plot=plot)

    outcome = quality_gate(material)

    [refused] = outcome.metrics
    caught = {metric.name: metric.value for metric in outcome.details}
    assert refused.name == "quality_refused"
    assert refused.value < caught["quality_caught_dark_6"] == 1
    assert plot.stat().st_size > 0


def test_what_lies_beyond_the_limit_is_counted_by_its_kind(material_of: MaterialOf) -> None:
    material = material_of("inside", "inside")

    def scored(images: Images) -> Outputs:
        """Only even pictures are strange to it."""
        strange = images.std(axis=(1, 2, 3)) < 1
        return {**material.predict(images), OOD_SCORE: 2.0 * strange.astype(np.float32)}

    outcome = unfamiliar(replace(material, predict=scored, familiar=FAMILIAR))

    found = {metric.name: metric for metric in outcome.metrics}
    assert found["unfamiliar_refused"].value == 0
    assert found["unfamiliar_caught_blank"].value > 0
    none_caught = found["unfamiliar_caught_noise"]
    assert (none_caught.value, none_caught.lower) == (0, 0)
    # Wilson: of n with none caught, 1.96² / (n + 1.96²).
    assert none_caught.upper == pytest.approx(3.8415 / (none_caught.images + 3.8415), rel=1e-3)
