from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.manifest import OOD_SCORE, OutOfDistribution
from contract.quality import Limit, QualityLimits
from tests.synthetic import as_png, synthetic_radiograph
from tests.unit.training.report.planted import IMAGES, ContextOf
from training.report.context import EvaluationContext, Images, Outputs
from training.report.limits import (
    COURSES,
    LIMITS,
    conformal,
    out_of_distribution,
    quality_gate,
    under_corruption,
)
from training.transforms import Corruption, corrupted

BY_NAME = {corruption.name: (corruption, identity) for corruption, identity in COURSES}
BRIGHT_ENOUGH = QualityLimits(limits=(Limit(check="exposure", lower=0.2, upper=0.8),))
OOD = OutOfDistribution(limit=1.0, method="for a test")


def with_validation(context: EvaluationContext, images: int = IMAGES) -> EvaluationContext:
    said = context.predictions
    return replace(context, validation=lambda: (said.probabilities[:images], said.classes[:images]))


@pytest.mark.parametrize("name", ["gamma", "jpeg", "resolution"])
def test_an_image_changes_more_the_further_a_level_lies_from_the_identity(name: str) -> None:
    corruption, identity = BY_NAME[name]
    images = synthetic_radiograph(64, 64)[np.newaxis, ..., np.newaxis]
    changes = {identity: 0.0}

    for level in corruption.levels:
        changed = corrupted(images, corruption, level, np.random.default_rng(0))
        changes[level] = np.abs(changed.astype(float) - images).mean()

    below = [changes[level] for level in sorted(changes) if level <= identity]
    above = [changes[level] for level in sorted(changes) if level >= identity]
    assert below == sorted(below, reverse=True)
    assert above == sorted(above)
    assert max(changes.values()) > 1


@pytest.mark.parametrize("corruption", [c for c, _ in COURSES], ids=lambda c: c.name)
def test_no_level_of_a_corruption_leaves_an_image_as_it_is(corruption: Corruption) -> None:
    assert BY_NAME[corruption.name][1] not in corruption.levels


def test_a_model_that_reads_brightness_is_wrong_on_inverted_images(context_of: ContextOf) -> None:
    result = under_corruption(*BY_NAME["inversion"], context_of("inside", "inside"))

    unchanged, inverted = result.points
    assert unchanged.auroc is not None
    assert inverted.auroc is not None
    assert unchanged.auroc.value > 0.95
    assert inverted.auroc.value < 0.05
    assert inverted.refused is None
    assert [metric.name for metric in result.metrics] == ["under_inversion_1_auroc"]


def test_images_of_one_class_have_an_accuracy_but_no_auroc(context_of: ContextOf) -> None:
    context = context_of("inside", "inside")
    context.predictions.classes[:] = 1

    result = under_corruption(*BY_NAME["noise"], context)

    assert all(point.auroc is None for point in result.points)
    assert not result.metrics


def test_the_quality_gate_tells_what_it_refuses_as_it_is_and_corrupted(
    context_of: ContextOf,
) -> None:
    context = replace(context_of("inside", "inside"), quality=BRIGHT_ENOUGH)

    [refused] = quality_gate(context).metrics
    darkened = under_corruption(*BY_NAME["dark"], context).points

    assert refused.name == "quality_refused"
    assert refused.value < 0.1
    assert darkened[0].refused is not None
    assert darkened[-1].refused is not None
    assert darkened[0].refused.value == refused.value
    assert darkened[-1].refused.value == 1


def test_each_check_has_a_name_of_its_own() -> None:
    assert len({check.name for check in LIMITS}) == len(LIMITS)


def test_a_model_without_gates_says_that_nothing_was_done(context_of: ContextOf) -> None:
    context = context_of("inside", "inside")

    assert not quality_gate(context).has_figures
    assert not out_of_distribution(context).has_figures


def test_what_lies_beyond_the_limit_is_counted_by_its_kind(
    context_of: ContextOf, tmp_path: Path
) -> None:
    context = context_of("inside", "inside")
    for number in range(3):
        file = tmp_path / "Gray cards" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(as_png(np.full((40, 40), 100 + number, np.uint8)))

    def scored(images: Images) -> Outputs:
        """Only even pictures are strange to it."""
        strange = images.std(axis=(1, 2, 3)) < 1
        return {**context.predict(images), OOD_SCORE: 2.0 * strange.astype(np.float32)}

    result = out_of_distribution(replace(context, predict=scored, ood=OOD, ood_folder=tmp_path))

    found = {metric.name: metric for metric in result.metrics}
    assert found["unfamiliar_refused"].value == 0
    assert found["unfamiliar_caught_blank"].value > 0
    assert found["strange_gray_cards_caught"].value == 1
    assert found["strange_gray_cards_caught"].images == 3
    none_caught = found["unfamiliar_caught_noise"]
    assert (none_caught.value, none_caught.lower) == (0, 0)
    # Wilson: of n with none caught, 1.96² / (n + 1.96²).
    assert none_caught.upper == pytest.approx(3.8415 / (none_caught.images + 3.8415), rel=1e-3)


def test_without_validation_images_nothing_is_promised(context_of: ContextOf) -> None:
    assert not conformal(context_of("inside", "inside")).has_figures


def test_too_few_validation_images_are_a_reason_and_no_crash(context_of: ContextOf) -> None:
    result = conformal(with_validation(context_of("inside", "inside"), images=10))

    assert not result.has_figures
    assert "too few for a coverage of 0.9" in result.summary


def test_what_a_gate_stops_counts_as_referred(context_of: ContextOf) -> None:
    context = with_validation(context_of("inside", "inside"))
    gated = replace(context.predictions, gated=np.arange(IMAGES) % 4 == 0)

    before, after = (
        {m.name: m.value for m in conformal(shown).metrics if m.label is None}
        for shown in (context, replace(context, predictions=gated))
    )

    assert before["conformal_coverage"] == after["conformal_coverage"] >= 0.9
    assert after["conformal_refer_share"] >= max(0.25, before["conformal_refer_share"])


def test_a_small_source_is_named_with_its_count(context_of: ContextOf) -> None:
    sources = np.where(np.arange(IMAGES) < 5, "small", "large")

    result = conformal(with_validation(context_of("inside", "inside", sources=sources)))

    assert "small (5)" in result.summary
    assert {m.source for m in result.metrics} == {None, "large"}
