import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training_data import tiny_recipe
from training.calibrate import (
    activation_scale,
    calibrate,
    calibrated,
    describe,
    fit_temperature,
    mean_loss,
    ood_limit,
    operating_point,
    operating_points,
)
from training.config import OperatingPointConfig
from training.errors import CalibrationError
from training.models import build_classifier, feature_model, with_serving_outputs
from training.ood import fit_scorer
from training.transforms import shifted

PRECISE = tiny_recipe().model_copy(
    update={
        "operating_points": (
            OperatingPointConfig(label="normal", rule="precision", target=0.75),
            OperatingPointConfig(label="pneumonia", rule="sensitivity", target=0.5),
        )
    }
)
LOGITS = np.random.default_rng(0).normal(0, 2, (4000, 2)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_overconfident_logits_is_found(temperature: float) -> None:
    chance = np.random.default_rng(1).random(len(LOGITS))
    classes = (chance < calibrated(LOGITS, temperature=1)[:, 1]).astype(np.int64)

    found = fit_temperature(LOGITS * np.float32(temperature), classes)

    assert found == pytest.approx(temperature, rel=0.1)
    # The mean negative log likelihood.
    logits = np.log(np.array([[0.2, 0.8], [0.5, 0.5]], np.float32))
    assert mean_loss(logits, np.array([1, 0])) == pytest.approx(-np.log([0.8, 0.5]).mean())


def test_a_heatmap_is_full_at_the_last_hundredth_of_positive_activations() -> None:
    maps = np.concatenate([np.linspace(0.1, 10, 100), -np.ones(900)]).reshape(10, 10, 10)

    assert activation_scale(maps.astype(np.float32)) == pytest.approx(9.9, abs=0.05)
    # Without any evidence there is a scale all the same.
    assert activation_scale(-np.ones((2, 3, 3), np.float32)) == 1.0


def test_findings_stand_in_order_and_shifted_validation_images_keep_the_limit() -> None:
    recipe = tiny_recipe(calibration={"shifts": ["none", "brighter"]})
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 1), dtype=np.uint8)
    model = build_classifier(recipe)
    scorer = fit_scorer(feature_model(model), images[:20], recipe)

    calibration = calibrate(model, images[20:], np.array([0, 1] * 10), recipe, scorer)

    assert [finding.label for finding in calibration.findings] == ["normal", "pneumonia"]
    assert "specificity of at least 0.9 over all of 2" in (
        calibration.findings[0].operating_point_rule
    )
    assert (calibration.validation_images, calibration.shifts) == (20, ("none", "brighter"))
    assert calibration.loss_after <= calibration.loss_before + 1e-6
    served = with_serving_outputs(model, calibration.temperature, scorer)
    scores = [
        served.predict(shifted(images[20:], name), verbose=0)["ood_score"]
        for name in ("none", "brighter")
    ]
    assert calibration.out_of_distribution is not None
    assert calibration.out_of_distribution.limit == pytest.approx(1.001 * np.max(scores), rel=1e-5)
    assert calibration.out_of_distribution.method == scorer.method


def test_at_most_two_accepted_images_in_a_hundred_are_beyond_the_limit() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1000)).astype(np.float32)

    limit = ood_limit(scores)

    assert (scores > limit).sum() in (19, 20)
    # A thousandth above the last image that it keeps.
    assert np.abs(scores * 1.001 - limit).min() < 1e-3


def test_each_finding_gets_the_operating_point_of_its_own_rule() -> None:
    normal = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.3, 0.1], np.float32)
    probabilities = np.stack([normal, 1 - normal], axis=1)[np.newaxis]
    classes = np.array([0, 0, 1, 0, 1, 1, 1])

    found = operating_points(probabilities, classes, PRECISE, None)

    # Three of the four images from 0.7 up are normal; two of the four with pneumonia have 0.7.
    assert found == pytest.approx((0.7, 0.7), abs=1e-6)


def test_calls_must_be_right_often_enough_over_all_shifts_together() -> None:
    plain, darker = np.array([[0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.1, 0.6]], np.float32)
    probabilities = np.stack([[p, 1 - p] for p in (plain, darker)]).swapaxes(1, 2)
    classes = np.array([0, 0, 0, 1])

    alone, both = (
        operating_points(shifts, classes, PRECISE, None)[0]
        for shifts in (probabilities[:1], probabilities)
    )

    # As they are, three of four; darker, the fourth is called normal once more.
    assert (alone, both) == pytest.approx((0.6, 0.7))


def rule(kind: str, target: float, over: str = "pooled") -> OperatingPointConfig:
    return OperatingPointConfig.model_validate(
        {"label": "pneumonia", "rule": kind, "target": target, "over": over}
    )


SCORES = st.lists(
    st.tuples(st.floats(0, 1023 / 1024, width=32), st.booleans()), min_size=4, max_size=60
).filter(lambda rows: {truth for _, truth in rows} == {True, False})
TARGETS = st.sampled_from([0.5, 0.8, 0.9, 0.97, 1.0])


@given(rows=SCORES, target=TARGETS)
def test_a_threshold_keeps_its_target_and_the_next_one_would_not(
    rows: list[tuple[float, bool]], target: float
) -> None:
    scores, truth = np.array([s for s, _ in rows], np.float32), np.array([t for _, t in rows])

    ruled_in, ruled_out = (
        np.float32(operating_point(scores[np.newaxis], truth, rule(kind, target)))
        for kind in ("sensitivity", "specificity")
    )

    # The highest threshold that keeps the sensitivity, the lowest that keeps the specificity.
    assert (scores[truth] >= ruled_in).mean() >= target - 1e-9
    assert (scores[truth] > ruled_in).mean() < target
    assert (scores[~truth] < ruled_out).mean() >= target - 1e-9
    assert (scores[~truth] < np.nextafter(ruled_out, np.float32(-1))).mean() < target


def test_the_worst_shift_decides_where_each_must_hold() -> None:
    scores = np.array([[0.2, 0.8, 0.5, 0.9], [0.3, 0.6, 0.7, 0.8]], np.float32)
    truth = np.array([False, True, False, True])

    assert operating_point(scores, truth, rule("sensitivity", 1, "worst")) == pytest.approx(0.6)
    lowest = operating_point(scores, truth, rule("specificity", 0.5, "worst"))
    assert lowest == pytest.approx(0.3, abs=1e-6)
    assert operating_point(scores, truth, rule("specificity", 0.5)) == pytest.approx(0.3, abs=1e-6)
    pooled = operating_point(scores, truth, rule("sensitivity", 0.75))
    assert pooled == pytest.approx(0.8)


def test_of_a_hundred_three_may_be_missed_and_what_cannot_be_had_is_said_so() -> None:
    scores = np.array([[number / 128 for number in range(1, 101)]], np.float32)
    every, none = np.ones(100, bool), np.zeros(100, bool)

    assert operating_point(scores, every, rule("sensitivity", 0.97)) == 4 / 128
    with pytest.raises(CalibrationError, match=r"specificity of 0\.9"):
        operating_point(np.ones_like(scores), none, rule("specificity", 0.9))


def test_the_rule_reads_as_a_sentence_of_the_manifest() -> None:
    assert describe(rule("sensitivity", 0.97), shifts=1) == (
        "the highest with a validation sensitivity of at least 0.97"
    )
    assert describe(rule("specificity", 0.99, "worst"), shifts=16) == (
        "the lowest with a validation specificity of at least 0.99 "
        "under each of 16 acquisition shifts"
    )
