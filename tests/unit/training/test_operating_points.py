import numpy as np
import pytest
from hypothesis import given
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
    assert describe(rule("specificity", 0.99, "worst"), shifts=16) == (
        "the lowest with a validation specificity of at least 0.99 "
        "under each of 16 acquisition shifts"
    )
