import numpy as np
import pytest
from pydantic import ValidationError

from contract.lungs import LungFieldLimits, Mask, is_doubtful, with_lung_field
from contract.quality import ADVICE, Check, Quality

LIMITS = LungFieldLimits(doubt=0.1, lower=0.5)


def framing(value: float) -> Check:
    return Check(name="framing", value=value, lower=None, upper=0.9)


def lungs(*boxes: tuple[int, int, int, int]) -> Mask:
    drawn = np.zeros((40, 40), bool)
    for top, bottom, left, right in boxes:
        drawn[top:bottom, left:right] = True
    return drawn


def test_the_lungs_are_wanted_where_framing_is_suspicious() -> None:
    exposure = Check(name="exposure", value=0.99, lower=0.1, upper=0.9, advice="Too bright.")

    assert is_doubtful(Quality(checks=(exposure, framing(0.11))), LIMITS)
    assert not is_doubtful(Quality(checks=(exposure, framing(0.1))), LIMITS)


def test_without_a_template_of_framing_nothing_is_suspected() -> None:
    assert not is_doubtful(Quality(checks=()), LIMITS)


def test_two_whole_lungs_pass_and_stand_after_the_other_checks() -> None:
    found = with_lung_field(
        Quality(checks=(framing(0.2),)), lungs((8, 30, 5, 15), (8, 30, 25, 35)), LIMITS
    )

    assert [check.name for check in found.checks] == ["framing", "lung_field"]
    assert found.checks[1].value == 1
    assert (found.checks[1].lower, found.checks[1].upper) == (0.5, None)
    assert found.accepted


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(lungs((8, 30, 5, 15)), id="one is missing"),
        pytest.param(lungs(), id="both are missing"),
        pytest.param(lungs((8, 30, 0, 3), (8, 30, 13, 23)), id="one is cut off at the side"),
        pytest.param(lungs((26, 40, 0, 17), (24, 40, 21, 40)), id="a corner is what is left"),
    ],
)
def test_lungs_that_are_not_whole_fail_with_what_to_do(mask: Mask) -> None:
    found = with_lung_field(Quality(checks=()), mask, LIMITS)

    (check,) = found.failed
    assert check.value < LIMITS.lower
    assert check.advice == ADVICE["lung_field", "lower"]


def test_a_limit_is_a_share() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        LungFieldLimits(doubt=0.1, lower=1.5)
