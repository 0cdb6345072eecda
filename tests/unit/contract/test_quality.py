from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from pydantic import ValidationError

from contract.quality import (
    ADVICE,
    MEASURES,
    CheckName,
    Limit,
    Quality,
    QualityLimits,
    Side,
    Template,
    Templates,
    assess,
    judge,
    measure,
    measure_pixels,
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


def failed(quality: Quality) -> list[str]:
    return [check.name for check in quality.failed]


def value(name: CheckName, image: NDArray[np.uint8]) -> float:
    return measure(image, 1, 1, None)[name]


def halves(top: int, bottom: int) -> NDArray[np.uint8]:
    image = np.full((64, 48), top, np.uint8)
    image[32:] = bottom
    return image


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
        (NOISE, "noise", "underexposed"),
    ],
)
def test_a_faulty_radiograph_fails_the_check_for_its_fault(
    image: NDArray[np.uint8], check: str, advice: str
) -> None:
    (found,) = (each for each in assessed(image).failed if each.name == check)

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
    assert failed(assessed(RADIOGRAPH, rows, columns)) == expected


def test_sharpness_falls_with_every_blur_and_not_with_exposure_or_contrast() -> None:
    image = Image.fromarray(RADIOGRAPH)
    blurred = [image.filter(ImageFilter.GaussianBlur(radius)) for radius in (0.5, 1, 2, 4)]
    found = [value("sharpness", np.asarray(each)) for each in blurred]

    assert found == sorted(found, reverse=True)
    assert found[0] > 1.1 * found[-1]
    assert value("sharpness", RADIOGRAPH // 2 + 60) == pytest.approx(
        value("sharpness", RADIOGRAPH), rel=0.05
    )


@pytest.mark.parametrize("sigma", [5, 15, 30])
def test_the_noise_of_a_gray_picture_is_all_of_its_contrast(sigma: float) -> None:
    noise = np.random.default_rng(0).normal(128, sigma, (192, 192))
    noisy = np.clip(np.rint(noise), 0, 255).astype(np.uint8)

    assert value("noise", noisy) == pytest.approx(1, rel=0.05)
    assert value("contrast", noisy) == pytest.approx(sigma / 255, rel=0.05)


def test_a_marker_in_the_frame_is_still_frame() -> None:
    image = np.zeros((200, 200), np.uint8)
    image[40:, :] = 140
    image[10:20, 10:16] = 255

    assert value("collimation", image) == pytest.approx(0.2)


def test_a_thumbnail_has_no_exposure_and_no_contrast() -> None:
    found = thumbnail(halves(50, 200), 4)

    assert (found.shape, found.mean()) == ((16,), pytest.approx(0, abs=1e-12))
    assert found.std() == pytest.approx(1)
    assert found == pytest.approx(thumbnail(halves(100, 130), 4), abs=0.02)
    assert not thumbnail(np.full((40, 40), 7, np.uint8), 3).any()


def test_the_fault_whose_template_fits_is_probable() -> None:
    assert POSITION.probabilities(halves(200, 50))["rotation"] < 0.2
    assert POSITION.probabilities(halves(50, 200))["rotation"] > 0.6


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


def test_measures_of_a_graph_are_judged_as_those_made_here() -> None:
    limited = (Limit(check="rotation", upper=0.4), *LIMITS.limits)
    limits = QualityLimits(limits=limited, position=POSITION)

    judged = judge(measure_pixels(NOISE, POSITION).astype(np.float32), 100, 300, limits)

    assessed = assess(NOISE[..., np.newaxis], 100, 300, limits)
    assert failed(judged) == failed(assessed)
    assert [check.value for check in judged.checks] == pytest.approx(
        [check.value for check in assessed.checks], rel=1e-6
    )


def test_what_is_measured_is_named_in_the_order_of_the_measures() -> None:
    named = measure(RADIOGRAPH, 10, 10, None)

    assert [named[name] for name in MEASURES[:6]] == measure_pixels(RADIOGRAPH)[:6].tolist()
    assert set(named) == {*MEASURES[:6], "aspect", "resolution"}


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
