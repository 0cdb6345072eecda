import math

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.quality import QualityLimits, assess
from tests.synthetic import synthetic_radiograph
from training.errors import CalibrationError
from training.quality import fit_quality_limits
from training.transforms import CORRUPTIONS, corrupted

SIDE = 48
PATIENTS = 60


def radiographs(count: int, seed: int) -> NDArray[np.uint8]:
    planes = [synthetic_radiograph(SIDE, SIDE, seed=seed + number) for number in range(count)]
    return np.stack(planes)[..., np.newaxis]


def fitted(images: NDArray[np.uint8], *shifts: str) -> QualityLimits:
    groups = np.array([f"patient {number}" for number in range(len(images))])
    sizes = np.array([[2000, 2500], [2400, 2000], [1200, 1200]])
    return fit_quality_limits(images, groups, sizes, shifts, seed=0)


@pytest.fixture(scope="module")
def limits() -> QualityLimits:
    images = radiographs(PATIENTS, seed=0)
    return fitted(images, "none", "brighter", "rotated", "blurred")


def bounds(limits: QualityLimits, check: str) -> tuple[float, float]:
    """The lower and the upper limit of a check, infinite where there is none."""
    limit = next(each for each in limits.limits if each.check == check)
    return (
        -math.inf if limit.lower is None else limit.lower,
        math.inf if limit.upper is None else limit.upper,
    )


def share_refused(
    images: NDArray[np.uint8], limits: QualityLimits, named: str | None = None
) -> float:
    """The share of images that are refused; with a name, for the check of that name."""
    reports = [assess(image, 2000, 2000, limits) for image in images]
    failed = [{check.name for check in report.failed} for report in reports]
    return float(np.mean([named in names if named else bool(names) for names in failed]))


def test_new_images_of_the_same_kind_are_accepted(limits: QualityLimits) -> None:
    assert share_refused(radiographs(40, seed=1000), limits) <= 0.05


@pytest.mark.parametrize(
    ("fault", "level"),
    [
        ("blur", 4),
        ("dark", 3),
        ("bright", 3),
        ("noise", 60),
        ("corner", 0.5),
        ("frame", 0.6),
        ("rotation", 90),
        ("rotation", 180),
        ("inversion", 1),
    ],
)
def test_images_with_a_fault_are_refused(limits: QualityLimits, fault: str, level: float) -> None:
    degradation = next(each for each in CORRUPTIONS if each.name == fault)
    images = radiographs(20, seed=1000)

    faulty = corrupted(images, degradation, level, np.random.default_rng(0))

    assert share_refused(faulty, limits) >= 0.95
    if fault in {"rotation", "inversion"}:
        assert share_refused(faulty, limits, named=fault) >= 0.95


def test_more_shifts_make_the_limits_wider(limits: QualityLimits) -> None:
    narrow = fitted(radiographs(PATIENTS, seed=0), "none")

    assert bounds(narrow, "sharpness") > bounds(limits, "sharpness")
    assert bounds(narrow, "exposure")[1] < bounds(limits, "exposure")[1]


def test_shape_and_size_follow_from_the_files_and_from_the_input(limits: QualityLimits) -> None:
    expected = (2000 / 2400 / 2, 2500 / 2000 * 2)

    assert bounds(limits, "aspect") == pytest.approx(expected, rel=1e-3)
    assert bounds(limits, "resolution") == (SIDE / 2, math.inf)


def test_few_small_images_are_enough_but_not_of_a_single_patient() -> None:
    images, sizes = radiographs(8, seed=0), np.array([[20, 22]])
    groups = np.array(list("abcdefgh"))

    first, again = (fit_quality_limits(images, groups, sizes, ("none",), 0) for _ in range(2))

    assert first == again
    # Training images smaller than the input are not too small.
    assert bounds(first, "resolution") == (20, math.inf)
    with pytest.raises(CalibrationError, match="two patients"):
        fit_quality_limits(images, np.array(["a"] * 8), sizes, ("none",), seed=0)
