import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from contract.quality import (
    ADVICE,
    FAULTS,
    CheckName,
    Limit,
    QualityLimits,
    Side,
    Template,
    Templates,
    assess,
    measure,
)

IMAGES = arrays.arrays(
    np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, min_side=8, max_side=40)
)
SIDES = st.integers(1, 100_000)
WEIGHTS = st.lists(st.floats(-50, 50), min_size=4, max_size=4).map(tuple)
# The lungs are measured in a mask, not in the image.
SHARES = set(get_args(CheckName)) - {"aspect", "resolution", "noise", "sharpness", "lung_field"}
BOUNDS = [(check, side) for check, side in ADVICE if check != "lung_field"]


def templates(weights: tuple[float, ...]) -> Templates:
    each = tuple(Template(fault=fault, bias=0, weights=weights) for fault in FAULTS)
    return Templates(side=2, templates=each)


@given(IMAGES, SIDES, SIDES, WEIGHTS.map(templates))
def test_every_image_can_be_measured(
    image: NDArray[np.uint8], rows: int, columns: int, position: Templates
) -> None:
    values = measure(image, rows, columns, position)

    assert all(math.isfinite(value) and value >= 0 for value in values.values())
    assert all(values[name] <= 1 + 1e-9 for name in SHARES)


@given(IMAGES, SIDES, SIDES, st.sampled_from(BOUNDS), st.floats(-10, 10))
def test_an_image_is_accepted_where_no_value_is_beyond_its_limit(
    image: NDArray[np.uint8], rows: int, columns: int, of: tuple[CheckName, Side], bound: float
) -> None:
    check, side = of
    position = templates((0, 0, 0, 0))
    limit = Limit.model_validate({"check": check, side: bound})

    quality = assess(
        image[..., np.newaxis], rows, columns, QualityLimits(limits=(limit,), position=position)
    )

    (made,) = quality.checks
    is_within = made.value >= bound if side == "lower" else made.value <= bound
    assert quality.accepted == made.passed == is_within
    assert made.advice == (None if is_within else ADVICE[check, side])


@given(IMAGES)
@example(np.zeros((8, 8), np.uint8))
@example(np.full((9, 13), 255, np.uint8))
@example((np.indices((64, 48)).sum(axis=0) % 2 * 255).astype(np.uint8))
@example(np.eye(41, 23, dtype=np.uint8) * np.uint8(255))
@example(np.arange(16 * 300, dtype=np.int64).reshape(16, 300).astype(np.uint8))
@example(np.random.default_rng(0).integers(0, 256, (301, 192)).astype(np.uint8))
def test_the_measures_are_those_of_their_definitions(image: NDArray[np.uint8]) -> None:
    values = measure(image, 1, 1, None)

    sizes = {"aspect": 1.0, "resolution": 1.0}
    assert values == pytest.approx(defined(image) | sizes, rel=1e-9, abs=0)


def defined(image: NDArray[np.uint8]) -> dict[CheckName, float]:
    """Each measure as a textbook has it, in whole numbers as far as they go."""
    height, width = image.shape
    y, x = height // 8, width // 8
    gray = image[y : height - y, x : width - x].astype(np.int64)
    # In whole numbers, since the deviation of an almost flat image drowns in rounding otherwise.
    variance = gray.size * int((gray**2).sum()) - int(gray.sum()) ** 2
    spread = math.sqrt(variance) / gray.size
    near, far = (
        np.abs(gray[:, step:] - gray[:, :-step]).mean() + np.abs(gray[step:] - gray[:-step]).mean()
        for step in (1, 4)
    )
    second = np.abs(np.diff(np.diff(gray, 2, axis=0), 2, axis=1)).mean()
    return {
        "exposure": float(gray.mean()) / 255,
        "contrast": spread / 255,
        "sharpness": float(near / far) if far else 0.0,
        "noise": math.sqrt(math.pi / 2) / 6 * float(second) / spread if spread else 0.0,
        "clipping": float(((gray < 3) | (gray > 249)).mean()),
        "collimation": 1 - lit(image) * lit(image.T),
    }


def lit(image: NDArray[np.uint8]) -> float:
    """From the first to the last row that is brighter than an eighth of the mean, as a share."""
    sums = image.sum(axis=1, dtype=np.int64).tolist()
    bright = [row for row, total in enumerate(sums) if total * 8 * len(sums) > sum(sums)]
    return (bright[-1] - bright[0] + 1) / len(sums) if bright else 0.0
