import numpy as np
import pytest

from contract.lungs import Mask, label_regions, region_sizes, without_holes


def mask(*rows: str) -> Mask:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def test_pixels_that_touch_side_by_side_or_above_are_one_region() -> None:
    labels = label_regions(mask("##..", ".#.#", "...#", "#.##"))

    assert labels.tolist() == [[1, 1, 0, 0], [0, 1, 0, 2], [0, 0, 0, 2], [3, 0, 2, 2]]


def test_pixels_that_touch_at_a_corner_are_two_regions() -> None:
    assert label_regions(mask("#.", ".#")).max() == 2


def test_arms_that_meet_further_down_are_one_region() -> None:
    labels = label_regions(mask("#.#.#", "#.#.#", "#####"))

    assert labels.max() == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (4, 6)])
def test_an_empty_and_a_full_mask_have_no_region_and_one(shape: tuple[int, int]) -> None:
    assert label_regions(np.zeros(shape, bool)).max() == 0
    assert region_sizes(label_regions(np.ones(shape, bool))).tolist() == [shape[0] * shape[1]]


def test_sizes_are_counted_by_region() -> None:
    assert region_sizes(label_regions(mask("##.#", "#...", "..##"))).tolist() == [3, 1, 2]


def test_a_hole_is_filled_and_a_bay_is_not() -> None:
    filled = without_holes(mask("####", "#.##", "##.#", "##.."))

    assert np.array_equal(filled, mask("####", "####", "##.#", "##.."))


def test_background_that_the_mask_divides_is_no_hole() -> None:
    divided = mask(".#.", ".#.", ".#.")

    assert np.array_equal(without_holes(divided), divided)
