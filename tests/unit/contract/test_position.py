import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from contract.quality import Template, Templates, thumbnail

# Bright below speaks for a chest upside down, bright to the right for one on its side.
UPSIDE_DOWN = Template(fault="rotation", bias=-2, weights=(-2, -2, 2, 2))
ON_ITS_SIDE = Template(fault="rotation", bias=-2, weights=(-2, 2, -2, 2))
NEGATIVE = Template(fault="inversion", bias=-3, weights=(0, 0, 0, 0))
TEMPLATES = Templates(side=2, templates=(UPSIDE_DOWN, ON_ITS_SIDE, NEGATIVE))


def halves(top: int, bottom: int) -> NDArray[np.uint8]:
    image = np.full((64, 48), top, np.uint8)
    image[32:] = bottom
    return image


def test_a_thumbnail_has_no_exposure_and_no_contrast() -> None:
    image = halves(50, 200)

    found = thumbnail(image, 4)

    assert found.shape == (16,)
    assert found.mean() == pytest.approx(0, abs=1e-12)
    assert found.std() == pytest.approx(1)
    assert found == pytest.approx(thumbnail(halves(100, 130), 4), abs=0.02)


def test_the_thumbnail_of_a_flat_image_is_flat() -> None:
    assert not thumbnail(np.full((40, 40), 7, np.uint8), 3).any()


def test_the_fault_whose_template_fits_is_probable() -> None:
    sound, turned = halves(200, 50), halves(50, 200)

    assert TEMPLATES.probabilities(sound)["rotation"] < 0.2
    assert TEMPLATES.probabilities(turned)["rotation"] > 0.9


def test_two_templates_of_a_fault_add_up() -> None:
    flat = np.full((40, 40), 7, np.uint8)
    evidence = np.exp([-2, -2, -3, 0])

    found = TEMPLATES.probabilities(flat)

    assert found["rotation"] == pytest.approx((evidence[0] + evidence[1]) / evidence.sum())
    assert found["inversion"] == pytest.approx(evidence[2] / evidence.sum())
    assert TEMPLATES.faults == {"rotation", "inversion"}


def test_strong_evidence_is_still_a_probability() -> None:
    certain = Templates(
        side=2, templates=(Template(fault="framing", bias=5000, weights=(0, 0, 0, 0)),)
    )

    assert certain.probabilities(halves(0, 9)) == {"framing": 1.0}


def test_a_template_has_a_weight_for_each_pixel() -> None:
    with pytest.raises(ValidationError, match="one weight for each pixel"):
        Templates(side=3, templates=(NEGATIVE,))
