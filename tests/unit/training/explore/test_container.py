import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from contract.radiograph import decode
from tests.exploration_data import pattern, tinted
from tests.synthetic import as_dicom, as_jpeg, as_png, as_tiff, synthetic_radiograph
from training.explore.container import Container, read_container

GRAY = pattern(0)
DEEP = GRAY.astype(np.uint16) * 257


def container(data: bytes) -> Container:
    return read_container(data, decode(data))


def transparent_red(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    red = np.zeros((*gray.shape, 4), np.uint8)
    red[..., 0] = 255
    return red


@pytest.mark.parametrize(
    ("data", "mode", "bits"),
    [
        (as_png(GRAY), "L", 8),
        (as_png(DEEP), "I;16", 16),
        (as_png(np.stack([GRAY] * 3, axis=-1)), "RGB", 8),
        (as_jpeg(GRAY), "L", 8),
        (as_tiff(DEEP), "I;16", 16),
        (as_tiff(tinted(GRAY)), "RGB", 8),
        (as_dicom(GRAY), "MONOCHROME2", 8),
        (as_dicom(GRAY.astype(np.uint16), BitsStored=12), "MONOCHROME2", 12),
    ],
)
def test_mode_and_depth_are_those_of_the_file(data: bytes, mode: str, bits: int) -> None:
    read = container(data)

    assert (read.mode, read.bits) == (mode, bits)


@pytest.mark.parametrize("quality", [30, 60, 75, 95])
def test_the_quality_of_a_jpeg_is_estimated(quality: int) -> None:
    read = container(as_jpeg(synthetic_radiograph(64, 64), quality))

    assert read.jpeg_quality == pytest.approx(quality, abs=1.5)


def test_what_is_no_jpeg_has_no_quality() -> None:
    assert container(as_png(GRAY)).jpeg_quality is None


@pytest.mark.parametrize("encode", [as_png, as_jpeg, as_tiff])
def test_a_tint_is_seen_in_every_format(encode: object) -> None:
    assert callable(encode)
    read = container(encode(tinted(np.full((48, 48), 200, np.uint8))))

    assert read.coloured == 1
    assert read.tint == pytest.approx(100, abs=3)


def test_gray_in_colour_channels_is_no_tint() -> None:
    assert container(as_jpeg(np.stack([GRAY] * 3, axis=-1), 50)).coloured == 0


def test_a_colour_that_is_transparent_is_no_tint() -> None:
    assert container(as_png(transparent_red(GRAY))).coloured == 0


def test_a_palette_of_colours_is_a_tint() -> None:
    file = io.BytesIO()
    Image.fromarray(tinted(GRAY)).quantize(16).save(file, "PNG")

    read = container(file.getvalue())

    assert read.mode == "P"
    assert read.coloured is not None
    assert read.coloured > 0.5


def test_the_tint_of_a_dicom_is_known_where_it_is_gray() -> None:
    assert container(as_dicom(GRAY)).tint == 0
    assert container(as_dicom(tinted(GRAY))).tint is None
