import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training.calibrate import describe, operating_point
from training.config import OperatingPointConfig
from training.errors import CalibrationError


def rule(kind: str, target: float, over: str = "pooled") -> OperatingPointConfig:
    return OperatingPointConfig.model_validate(
        {"label": "pneumonia", "rule": kind, "target": target, "over": over}
    )


SCORES = st.lists(
    st.tuples(st.floats(0, 1023 / 1024, width=32), st.booleans()), min_size=4, max_size=60
).filter(lambda rows: {truth for _, truth in rows} == {True, False})
TARGETS = st.sampled_from([0.5, 0.8, 0.9, 0.97, 1.0])


@given(rows=SCORES, target=TARGETS)
def test_ruling_in_takes_the_highest_threshold_that_keeps_the_sensitivity(
    rows: list[tuple[float, bool]], target: float
) -> None:
    scores, truth = np.array([s for s, _ in rows], np.float32), np.array([t for _, t in rows])

    threshold = np.float32(operating_point(scores[np.newaxis], truth, rule("sensitivity", target)))

    assert (scores[truth] >= threshold).mean() >= target - 1e-9
    assert (scores[truth] > threshold).mean() < target


@given(rows=SCORES, target=TARGETS)
def test_ruling_out_takes_the_lowest_threshold_that_keeps_the_specificity(
    rows: list[tuple[float, bool]], target: float
) -> None:
    scores, truth = np.array([s for s, _ in rows], np.float32), np.array([t for _, t in rows])

    threshold = np.float32(operating_point(scores[np.newaxis], truth, rule("specificity", target)))

    below = np.nextafter(threshold, np.float32(-1))
    assert (scores[~truth] < threshold).mean() >= target - 1e-9
    assert (scores[~truth] < below).mean() < target


@given(rows=SCORES, target=st.sampled_from([0.3, 0.5, 0.7]))
def test_covering_a_class_takes_the_quantile_of_a_finite_sample(
    rows: list[tuple[float, bool]], target: float
) -> None:
    scores, truth = np.array([s for s, _ in rows], np.float32), np.array([t for _, t in rows])
    needed = np.ceil(round((truth.sum() + 1) * target, 6))
    assume(needed <= truth.sum())

    threshold = np.float32(operating_point(scores[np.newaxis], truth, rule("coverage", target)))

    assert (scores[truth] >= threshold).sum() >= needed
    assert (scores[truth] > threshold).sum() < needed


def test_of_nine_all_must_be_found_for_a_coverage_of_nine_tenths() -> None:
    scores = np.linspace(0.1, 0.9, 9, dtype=np.float32)[np.newaxis]
    truth = np.ones(9, dtype=bool)

    assert operating_point(scores, truth, rule("coverage", 0.9)) == pytest.approx(0.1)
    assert operating_point(scores, truth, rule("sensitivity", 0.9)) == pytest.approx(0.1)
    assert operating_point(scores, truth, rule("sensitivity", 0.8)) == pytest.approx(0.2)
    assert operating_point(scores, truth, rule("coverage", 0.8)) == pytest.approx(0.2)
    assert operating_point(scores, truth, rule("coverage", 0.85)) == pytest.approx(0.1)


def test_shifts_give_no_more_images_to_cover_with() -> None:
    scores = np.tile(np.linspace(0.1, 0.9, 9, dtype=np.float32), (16, 1))
    truth = np.ones(9, dtype=bool)

    for over in ("pooled", "worst"):
        assert operating_point(scores, truth, rule("coverage", 0.9, over)) == pytest.approx(0.1)
        with pytest.raises(CalibrationError, match="9 validation images"):
            operating_point(scores, truth, rule("coverage", 0.95, over))


def test_of_a_hundred_three_may_be_missed_at_97_percent() -> None:
    scores = np.array([[number / 128 for number in range(1, 101)]], np.float32)

    threshold = operating_point(scores, np.ones(100, dtype=bool), rule("sensitivity", 0.97))

    assert threshold == 4 / 128


def test_the_worst_shift_decides_where_each_must_hold() -> None:
    scores = np.array([[0.2, 0.8, 0.5, 0.9], [0.3, 0.6, 0.7, 0.8]], np.float32)
    truth = np.array([False, True, False, True])

    assert operating_point(scores, truth, rule("sensitivity", 1, "worst")) == pytest.approx(0.6)
    lowest = operating_point(scores, truth, rule("specificity", 0.5, "worst"))
    assert lowest == pytest.approx(0.3, abs=1e-6)
    assert operating_point(scores, truth, rule("specificity", 0.5)) == pytest.approx(0.3, abs=1e-6)
    pooled = operating_point(scores, truth, rule("sensitivity", 0.75))
    assert pooled == pytest.approx(0.8)


def test_a_specificity_that_cannot_be_had_is_said_so() -> None:
    scores = np.ones((1, 4), np.float32)

    with pytest.raises(CalibrationError, match=r"specificity of 0\.9"):
        operating_point(scores, np.array([True, True, False, False]), rule("specificity", 0.9))


def test_the_rule_reads_as_a_sentence_of_the_manifest() -> None:
    assert describe(rule("sensitivity", 0.97), shifts=1) == (
        "the highest with a validation sensitivity of at least 0.97"
    )
    assert describe(rule("coverage", 0.9), shifts=16) == (
        "the highest with a coverage by split conformal prediction of at least 0.9 "
        "over all of 16 acquisition shifts"
    )
    assert describe(rule("specificity", 0.99, "worst"), shifts=16) == (
        "the lowest with a validation specificity of at least 0.99 "
        "under each of 16 acquisition shifts"
    )
