from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from contract.quality import (
    ADVICE,
    CheckName,
    Limit,
    Quality,
    QualityLimits,
    Side,
    Template,
    Templates,
    assess,
    measure,
    thumbnail,
)
from tests.synthetic import synthetic_radiograph

# Bright below speaks for a chest upside down, bright to the right for one on its side.
UPSIDE_DOWN = Template(fault="rotation", bias=-2, weights=(-2, -2, 2, 2))
ON_ITS_SIDE = Template(fault="rotation", bias=-2, weights=(-2, 2, -2, 2))
NEGATIVE = Template(fault="inversion", bias=-3, weights=(0, 0, 0, 0))
CUT_OFF = Template(fault="framing", bias=-1, weights=(-1, -1, 1, 1))
POSITION = Templates(side=2, templates=(UPSIDE_DOWN, ON_ITS_SIDE, NEGATIVE, CUT_OFF))
# Wide enough for any chest, and for no other picture.
LIMITS = QualityLimits(
    limits=(
        Limit(check="exposure", lower=0.15, upper=0.85),
        Limit(check="contrast", lower=0.04),
        Limit(check="sharpness", lower=0.27),
        Limit(check="noise", upper=0.4),
        Limit(check="clipping", upper=0.3),
        Limit(check="collimation", upper=0.4),
        Limit(check="aspect", lower=0.4, upper=2.5),
        Limit(check="resolution", lower=96),
    )
)
RADIOGRAPH = synthetic_radiograph(192, 192)
NOISE = np.random.default_rng(0).integers(0, 256, (192, 192), np.uint8)


def assessed(image: NDArray[np.uint8], rows: int = 1800, columns: int = 1500) -> Quality:
    return assess(image[..., np.newaxis], rows, columns, LIMITS)


def halves(top: int, bottom: int) -> NDArray[np.uint8]:
    image = np.full((64, 48), top, np.uint8)
    image[32:] = bottom
    return image


@pytest.mark.parametrize(
    ("image", "check", "advice"),
    [
        (RADIOGRAPH // 8, "exposure", "Too dark"),
        (np.minimum(RADIOGRAPH.astype(int) * 8, 255).astype(np.uint8), "clipping", "pure black"),
        (RADIOGRAPH // 16 + 120, "contrast", "Too flat"),
        (NOISE, "noise", "underexposed"),
    ],
)
def test_a_faulty_radiograph_fails_the_check_for_its_fault(
    image: NDArray[np.uint8], check: str, advice: str
) -> None:
    (found,) = (each for each in assessed(image).failed if each.name == check)

    assert found.advice is not None
    assert advice in found.advice


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (1, 1, ["resolution"]),
        (20000, 40, ["aspect", "resolution"]),
        (40, 20000, ["aspect", "resolution"]),
        (3000, 1000, ["aspect"]),
        (1000, 2500, []),
        (1000, 2501, ["aspect"]),
        (2500, 1000, []),
        (2501, 1000, ["aspect"]),
        (95, 120, ["resolution"]),
        (96, 120, []),
    ],
)
def test_the_file_s_own_shape_and_size_are_checked(
    rows: int, columns: int, expected: list[str]
) -> None:
    assert [check.name for check in assessed(RADIOGRAPH, rows, columns).failed] == expected


def test_a_thumbnail_has_no_exposure_and_no_contrast() -> None:
    found = thumbnail(halves(50, 200), 4)

    assert (found.shape, found.mean()) == ((16,), pytest.approx(0, abs=1e-12))
    assert found.std() == pytest.approx(1)
    assert found == pytest.approx(thumbnail(halves(100, 130), 4), abs=0.02)
    assert not thumbnail(np.full((40, 40), 7, np.uint8), 3).any()


def test_two_templates_of_a_fault_add_up() -> None:
    evidence = np.exp([-2, -2, -3, -1, 0])

    found = POSITION.probabilities(np.full((40, 40), 7, np.uint8))

    assert found["rotation"] == pytest.approx((evidence[0] + evidence[1]) / evidence.sum())
    assert found["inversion"] == pytest.approx(evidence[2] / evidence.sum())


def test_strong_evidence_is_still_a_probability() -> None:
    certain = Templates(side=2, templates=(CUT_OFF.model_copy(update={"bias": 5000}),))

    assert certain.probabilities(halves(0, 9)) == {"framing": 1.0}


def test_a_template_has_a_weight_for_each_pixel() -> None:
    with pytest.raises(ValidationError, match="one weight for each pixel"):
        Templates(side=3, templates=(NEGATIVE,))


def test_everything_that_can_be_limited_is_measured_but_for_the_lungs() -> None:
    everything = set(get_args(CheckName))

    assert set(measure(RADIOGRAPH, 10, 10, POSITION)) == everything - {"lung_field"}
    assert {check for check, _ in ADVICE} == everything


@pytest.mark.parametrize("check", get_args(CheckName))
@pytest.mark.parametrize("side", get_args(Side))
def test_a_limit_without_advice_does_not_exist(check: CheckName, side: Side) -> None:
    values = {"check": check, side: 1.0}

    if (check, side) in ADVICE:
        assert getattr(Limit.model_validate(values), side) == 1.0
    else:
        with pytest.raises(ValidationError, match=f"{check} has no {side} limit"):
            Limit.model_validate(values)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_limit_is_a_number(value: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Limit(check="noise", upper=value)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((Limit(check="noise", upper=1), Limit(check="noise", upper=2)), "a check stands twice"),
        ((Limit(check="lung_field", lower=0.5),), "stands in the segmenter's manifest"),
        ((Limit(check="rotation", upper=0.5),), "no template for rotation"),
    ],
)
def test_limits_that_cannot_be_checked_once_are_refused(
    limits: tuple[Limit, ...], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        QualityLimits(limits=limits)
