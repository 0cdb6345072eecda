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
)
from tests.synthetic import synthetic_radiograph

POSITION = Templates(
    side=2,
    templates=tuple(
        Template(fault=fault, bias=-1, weights=(-1, -1, 1, 1))
        for fault in ("rotation", "framing", "inversion")
    ),
)
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


def assessed(image: NDArray[np.uint8], rows: int = 1800, columns: int = 1500) -> Quality:
    return assess(image[..., np.newaxis], rows, columns, LIMITS)


def failed(quality: Quality) -> list[str]:
    return [check.name for check in quality.failed]


def test_a_good_radiograph_passes_every_check() -> None:
    quality = assessed(RADIOGRAPH)

    assert quality.accepted
    assert [check.name for check in quality.checks] == [limit.check for limit in LIMITS.limits]
    assert all(check.passed and check.advice is None for check in quality.checks)


@pytest.mark.parametrize(
    ("image", "check", "advice"),
    [
        (RADIOGRAPH // 8, "exposure", "Too dark"),
        (np.minimum(RADIOGRAPH.astype(int) * 8, 255).astype(np.uint8), "clipping", "pure black"),
        (RADIOGRAPH // 16 + 120, "contrast", "Too flat"),
        (np.random.default_rng(0).integers(0, 256, (192, 192), np.uint8), "noise", "underexposed"),
    ],
)
def test_a_faulty_radiograph_fails_the_check_for_its_fault(
    image: NDArray[np.uint8], check: str, advice: str
) -> None:
    quality = assessed(image)

    assert not quality.accepted
    assert check in failed(quality)
    (found,) = (each for each in quality.failed if each.name == check)
    assert found.advice is not None
    assert advice in found.advice


@pytest.mark.parametrize("gray", [0, 128, 255])
@pytest.mark.parametrize("side", [8, 192])
def test_a_blank_image_is_refused(gray: int, side: int) -> None:
    assert {"contrast", "sharpness"} <= set(failed(assessed(np.full((side, side), gray, np.uint8))))


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (1, 1, ["resolution"]),
        (20000, 40, ["aspect", "resolution"]),
        (40, 20000, ["aspect", "resolution"]),
        (3000, 1000, ["aspect"]),
        (95, 120, ["resolution"]),
        (96, 120, []),
    ],
)
def test_the_file_s_own_shape_and_size_are_checked(
    rows: int, columns: int, expected: list[str]
) -> None:
    assert failed(assessed(RADIOGRAPH, rows, columns)) == expected


def test_advice_speaks_of_the_side_that_was_left() -> None:
    (narrow,) = assessed(RADIOGRAPH, 3000, 1000).failed
    (wide,) = assessed(RADIOGRAPH, 1000, 3000).failed

    assert (narrow.advice, wide.advice) == (
        ADVICE["aspect", "lower"],
        ADVICE["aspect", "upper"],
    )


def test_a_value_at_its_limit_passes() -> None:
    exposure = measure(RADIOGRAPH, 1, 1, None)["exposure"]
    limits = QualityLimits(limits=(Limit(check="exposure", lower=exposure, upper=exposure),))

    assert assess(RADIOGRAPH[..., np.newaxis], 1, 1, limits).accepted


def test_everything_that_can_be_limited_is_measured_but_for_the_lungs() -> None:
    everything = set(get_args(CheckName))

    assert set(measure(RADIOGRAPH, 10, 10, POSITION)) == everything - {"lung_field"}


def test_position_is_measured_with_templates_alone() -> None:
    assert not {"rotation", "framing", "inversion"} & set(measure(RADIOGRAPH, 10, 10, None))


def test_every_check_can_fail() -> None:
    assert {check for check, _ in ADVICE} == set(get_args(CheckName))


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


def test_the_position_is_limited_where_there_is_a_template() -> None:
    limits = (Limit(check="rotation", upper=0.5),)

    assert QualityLimits(limits=limits, position=POSITION).limits == limits
