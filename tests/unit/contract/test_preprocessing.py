import numpy as np
import pytest
from pydantic import ValidationError

from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from tests.synthetic import as_dicom, as_jpeg, as_png, synthetic_radiograph

SPEC = PreprocessingSpec(height=48, width=64)


def test_a_radiograph_becomes_what_a_model_takes() -> None:
    pixels = preprocess(decode(as_jpeg(synthetic_radiograph(300, 200))), SPEC)

    assert pixels.shape == (48, 64, 1)
    assert pixels.dtype == np.uint8


def test_a_radiograph_of_the_right_size_passes_unchanged() -> None:
    chest = synthetic_radiograph(48, 64)

    assert np.array_equal(preprocess(decode(as_png(chest)), SPEC)[..., 0], chest)


def test_the_same_picture_is_the_same_in_every_format() -> None:
    chest = synthetic_radiograph(150, 150)
    deep = chest.astype(np.uint16) * 257

    expected = preprocess(decode(as_png(chest)), SPEC)

    assert np.array_equal(preprocess(decode(as_dicom(chest)), SPEC), expected)
    for data in (as_png(deep), as_dicom(deep, WindowCenter=32768, WindowWidth=65536)):
        difference = np.abs(preprocess(decode(data), SPEC).astype(int) - expected)
        assert difference.max() <= 1


@pytest.mark.parametrize("size", [{"height": 7, "width": 64}, {"height": 48, "width": 4097}])
def test_a_size_that_no_model_has_is_refused(size: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        PreprocessingSpec(**size)


def test_a_spec_is_told_in_words() -> None:
    assert PreprocessingSpec(height=96, width=128).words == "gray, 128 by 96 pixels, uint8"
