import math
from typing import get_args

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from contract.position import Template, Templates
from contract.quality import ADVICE, CheckName, Limit, QualityLimits, Side, assess, measure

IMAGES = arrays.arrays(
    np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, min_side=8, max_side=40)
)
SIDES = st.integers(1, 100_000)
WEIGHTS = st.lists(st.floats(-50, 50), min_size=4, max_size=4).map(tuple)
POSITIONS = st.builds(
    lambda weights: Templates(
        side=2,
        templates=tuple(
            Template(fault=fault, bias=0, weights=weights)
            for fault in ("rotation", "framing", "inversion")
        ),
    ),
    WEIGHTS,
)
# The lungs are measured in a mask, not in the image.
SHARES = set(get_args(CheckName)) - {"aspect", "resolution", "noise", "sharpness", "lung_field"}
BOUNDS = [(check, side) for check, side in ADVICE if check != "lung_field"]


@given(IMAGES, SIDES, SIDES, POSITIONS)
def test_every_image_can_be_measured(
    image: NDArray[np.uint8], rows: int, columns: int, position: Templates
) -> None:
    values = measure(image, rows, columns, position)

    assert all(math.isfinite(value) and value >= 0 for value in values.values())
    assert all(values[name] <= 1 + 1e-9 for name in SHARES)


@given(IMAGES, SIDES, SIDES, st.sampled_from(BOUNDS), st.floats(-10, 10))
def test_an_image_is_accepted_where_no_value_is_beyond_its_limit(
    image: NDArray[np.uint8],
    rows: int,
    columns: int,
    of: tuple[CheckName, Side],
    bound: float,
) -> None:
    check, side = of
    position = Templates(
        side=2,
        templates=tuple(
            Template(fault=fault, bias=0, weights=(0, 0, 0, 0))
            for fault in ("rotation", "framing", "inversion")
        ),
    )
    limit = Limit.model_validate({"check": check, side: bound})

    quality = assess(
        image[..., np.newaxis], rows, columns, QualityLimits(limits=(limit,), position=position)
    )

    (made,) = quality.checks
    is_within = made.value >= bound if side == "lower" else made.value <= bound
    assert quality.accepted == made.passed == is_within
    assert made.advice == (None if is_within else ADVICE[check, side])
