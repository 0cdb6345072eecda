import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from contract.lungs import (
    LungFieldLimits,
    Mask,
    completeness,
    is_doubtful,
    label_regions,
    lung_mask,
    share_inside,
    split_lungs,
    without_holes,
)
from contract.pixels import resize
from contract.quality import Check, Quality

SIZE = (40, 40)


def chest(*boxes: tuple[int, int, int, int]) -> Mask:
    drawn = np.zeros(SIZE, bool)
    for top, bottom, left, right in boxes:
        drawn[top:bottom, left:right] = True
    return drawn


RIGHT, LEFT = (8, 30, 5, 15), (8, 28, 25, 36)
BOTH = chest(RIGHT, LEFT)
PIECES = chest((8, 18, 5, 15), (20, 30, 5, 15))


@pytest.mark.parametrize(
    ("right", "left"),
    [
        (chest(RIGHT), chest(LEFT)),
        (chest(RIGHT), chest()),
        (chest(), chest(LEFT)),
        (PIECES, chest(LEFT)),
        (chest(), chest()),
    ],
    ids=["both", "right", "left", "in pieces", "none"],
)
def test_the_lung_on_the_left_of_the_image_is_the_right_one(right: Mask, left: Mask) -> None:
    np.testing.assert_array_equal(split_lungs(right | left), (right, left))


def test_lungs_that_have_grown_together_are_cut_where_they_are_thinnest() -> None:
    right, left = split_lungs(chest(RIGHT, LEFT, (10, 13, 15, 25)))

    assert right[8:30, 5:15].all()
    assert left[8:28, 25:36].all()
    assert not (right & left).any()


def test_a_clean_mask_has_two_regions_without_holes_and_stray_patches() -> None:
    probability = BOTH.astype(np.float32)
    probability[12, 8] = 0.1
    probability[0:2, 0:2] = 0.9

    assert np.array_equal(lung_mask(probability, SIZE), BOTH)


def test_a_mask_is_drawn_in_the_wanted_size() -> None:
    mask = lung_mask(BOTH.astype(np.float32), (80, 120))

    assert mask.shape == (80, 120)
    assert mask.mean() == pytest.approx(BOTH.mean(), abs=0.02)


def test_nothing_that_is_likely_a_lung_gives_an_empty_mask() -> None:
    assert not lung_mask(np.full(SIZE, 0.4, np.float32), SIZE).any()


@pytest.mark.parametrize(
    ("mask", "share"),
    [
        (BOTH, 1),
        # Of the outline of 56 pixels of each, 29 lie on the edge.
        (chest((0, 20, 0, 10), (0, 20, 30, 40)), 27 / 56),
        # The cut lung is half as large, and 20 of the 46 pixels of its outline lie on the edge.
        (chest((8, 28, 0, 5), (8, 28, 20, 30)), 0.5 * 26 / 46),
        *((mask, 0) for mask in (chest(RIGHT), chest(LEFT), chest())),
    ],
    ids=["both", "cut off", "smaller for a cut", "right", "left", "none"],
)
def test_two_lungs_of_a_size_are_complete_and_a_cut_makes_them_less_so(
    mask: Mask, share: float
) -> None:
    assert completeness(mask) == pytest.approx(share)


def test_the_share_inside_counts_what_speaks_for_a_finding_alone() -> None:
    activation = np.where(BOTH, 3.0, -5.0).astype(np.float32)
    activation[0, :22] = 2 * BOTH.sum() * 3 / 44

    assert share_inside(activation, BOTH) == pytest.approx(0.5)


def test_without_evidence_or_without_lungs_there_is_no_share_inside() -> None:
    assert share_inside(np.full(SIZE, -1, np.float32), BOTH) is None
    assert share_inside(np.ones(SIZE, np.float32), chest()) is None


def test_a_fitted_map_keeps_its_range() -> None:
    fitted = resize(np.array([[0, 1], [2, 3]], np.float32), (10, 20))

    assert fitted.shape == (10, 20)
    assert fitted.dtype == np.float32
    assert (fitted.min(), fitted.max()) == (0, 3)


@pytest.mark.parametrize("density", [0.2, 0.5, 0.6, 0.8])
def test_regions_and_holes_are_those_of_scipy(density: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        mask = random.random(random.integers(2, 40, 2)) < density

        np.testing.assert_array_equal(label_regions(mask), ndimage.label(mask)[0])
        np.testing.assert_array_equal(without_holes(mask), ndimage.binary_fill_holes(mask))


def serpentine(*, is_tall: bool) -> Mask:
    """Draw a path that winds through the mask, up and down or from side to side."""
    path = np.zeros((301, 301), bool)
    path[::2] = True
    path[1::4, -1] = path[3::4, 0] = True
    return path.T if is_tall else path


@pytest.mark.parametrize("is_tall", [True, False])
def test_a_winding_path_is_one_region_until_it_is_cut(*, is_tall: bool) -> None:
    path = serpentine(is_tall=is_tall)
    between = np.pad(~path, 1, constant_values=True)
    cut = path.copy()
    cut[150, 150] = False

    assert np.array_equal(label_regions(path), path)
    assert label_regions(cut).max() == 2
    for mask in (cut, between):
        np.testing.assert_array_equal(label_regions(mask), ndimage.label(mask)[0])


LIMITS = LungFieldLimits(doubt=0.1, lower=0.5)


def test_the_lungs_are_wanted_where_framing_alone_is_suspicious() -> None:
    def of(framing: float) -> Quality:
        others = Check(name="exposure", value=0.99, lower=0.1, upper=0.9, advice="Too bright.")
        return Quality(checks=(others, Check(name="framing", value=framing, lower=None, upper=0.9)))

    assert is_doubtful(of(0.11), LIMITS)
    assert not is_doubtful(of(0.1), LIMITS)
    assert not is_doubtful(Quality(checks=()), LIMITS)


def test_a_limit_is_a_share() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        LungFieldLimits(doubt=0.1, lower=1.5)
