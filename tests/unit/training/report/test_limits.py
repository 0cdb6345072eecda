from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.manifest import OOD_SCORE, Metric, OutOfDistribution
from contract.quality import Limit, QualityLimits
from tests.exploration_data import pattern
from tests.synthetic import as_png
from tests.unit.training.report.planted import ContextOf
from training.errors import DataError
from training.report.checks import out_of_distribution, quality_gate, robustness
from training.report.context import CheckResult, Images, Outputs

BRIGHT_ENOUGH = QualityLimits(limits=(Limit(check="exposure", lower=0.2, upper=0.8),))
OOD = OutOfDistribution(limit=1.0, method="for a test")


def curve(result: CheckResult, axis: str, name: str) -> list[Metric]:
    curves = next(curves for title, curves in result.panels if title.startswith(axis))
    return [metric for found, _, metrics in curves if found == name for metric in metrics]


def test_a_model_that_reads_brightness_is_wrong_on_inverted_images(context_of: ContextOf) -> None:
    result = robustness(context_of("inside", "inside"))

    [inverted] = curve(result, "Inversion", "AUROC")
    assert inverted.value < 0.05
    assert inverted in result.metrics
    assert inverted.name == "under_inversion_1_auroc"


def test_of_each_corruption_the_worst_level_goes_on_the_card(context_of: ContextOf) -> None:
    result = robustness(context_of("inside", "inside"))

    assert len(result.metrics) == len(result.panels)
    [worst] = [metric for metric in result.metrics if metric.name.startswith("under_corner_")]
    assert worst.value == min(metric.value for metric in curve(result, "Cut off", "AUROC"))


def test_images_of_one_class_have_no_auroc(context_of: ContextOf) -> None:
    context = context_of("inside", "inside")
    context.predictions.classes[:] = 1

    assert not robustness(context).metrics


def test_the_quality_gate_tells_what_it_refuses_as_it_is_and_corrupted(
    context_of: ContextOf,
) -> None:
    context = replace(context_of("inside", "inside"), quality=BRIGHT_ENOUGH)

    [refused] = quality_gate(context).metrics
    darkened = curve(robustness(context), "Exposure", "Refused by the quality gate")

    assert refused.name == "quality_refused"
    assert refused.value < 0.1
    assert darkened[-1].value == 1


def test_a_model_without_gates_says_that_nothing_was_done(context_of: ContextOf) -> None:
    context = context_of("inside", "inside")

    assert not quality_gate(context).metrics
    assert not out_of_distribution(context).metrics


def test_what_lies_beyond_the_limit_is_counted_by_its_kind(
    context_of: ContextOf, tmp_path: Path
) -> None:
    context = context_of("inside", "inside")
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
        strange = images.std(axis=(1, 2, 3)) < 1
        return {**context.predict(images), OOD_SCORE: 2.0 * strange.astype(np.float32)}

    result = out_of_distribution(replace(context, predict=scored, ood=OOD, ood_folder=tmp_path))

    found = {metric.name: metric for metric in result.metrics}
    assert found["unfamiliar_refused"].value == 0
    assert found["strange_gray_cards_caught"].value == 1
    assert found["strange_gray_cards_caught"].images == 3
    none_caught = found["strange_noise_caught"]
    assert (none_caught.value, none_caught.lower) == (0, 0)
    # Wilson: of n with none caught, 1.96² / (n + 1.96²).
    assert none_caught.upper == pytest.approx(3.8415 / (none_caught.images + 3.8415), rel=1e-3)
    assert not any("letters" in name for name in found)


def test_a_folder_without_images_is_refused(context_of: ContextOf, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(DataError, match="one folder for each kind"):
        out_of_distribution(
            replace(
                context_of("inside", "inside"),
                predict=lambda images: {OOD_SCORE: np.zeros(len(images), np.float32)},
                ood=OOD,
                ood_folder=tmp_path,
            )
        )
