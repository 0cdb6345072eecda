from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pydantic import ValidationError
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from contract.cost import estimate_cost
from contract.errors import NotAnImage, UnsupportedFormat
from contract.formats import sniff
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import Radiograph, decode
from tests.synthetic import as_dicom, as_jpeg, as_png, synthetic_radiograph

CHEST = synthetic_radiograph(96, 128)
SPEC = PreprocessingSpec(height=48, width=64)


def test_a_hint_of_the_needed_size_changes_nothing_but_jpeg() -> None:
    for data in (as_png(CHEST), as_dicom(CHEST)):
        assert np.array_equal(decode(data, at_least=(8, 8)).pixels, CHEST)


def test_decoding_in_several_threads_gives_the_same_pixels() -> None:
    files = [as_jpeg(CHEST), as_png(CHEST)] + [
        as_dicom(CHEST, TransferSyntaxUID=syntax)
        for syntax in (RLELossless, JPEG2000Lossless, JPEGBaseline8Bit)
    ]
    expected = [decode(data).pixels for data in files]

    with ThreadPoolExecutor(max_workers=8) as executor:
        decoded: list[Radiograph] = list(executor.map(decode, files * 20))

    for index, radiograph in enumerate(decoded):
        assert np.array_equal(radiograph.pixels, expected[index % len(files)])


def test_a_cost_that_is_known_is_not_worked_out_again() -> None:
    data = as_png(CHEST)
    cost = estimate_cost(data, max_pixels=CHEST.size)

    assert np.array_equal(decode(data, max_pixels=1, cost=cost).pixels, CHEST)


def test_a_radiograph_becomes_what_a_model_takes() -> None:
    pixels = preprocess(decode(as_jpeg(synthetic_radiograph(300, 200))), SPEC)
    chest = synthetic_radiograph(48, 64)

    assert pixels.shape == (48, 64, 1)
    assert pixels.dtype == np.uint8
    assert np.array_equal(preprocess(decode(as_png(chest)), SPEC)[..., 0], chest)
    assert SPEC.words == "gray, 64 by 48 pixels, uint8"


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


def test_the_first_bytes_of_a_large_big_endian_tiff_name_it() -> None:
    assert sniff(b"MM\0+\0\x08\0\0") == "TIFF"


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xff\xd8", b"<html></html>", b"\0" * 200, b"\x08\0\x05\0"),
        b"\x08\0\x05\0\xff\xff\0\0" + b"x" * 20,
        b"\0\x08\0\x16\0\0\0\x02" + b"1.",
    ],
)
def test_what_begins_like_no_image_is_none(data: bytes) -> None:
    with pytest.raises(NotAnImage, match="no image"):
        sniff(data)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"GIF89a", "GIF"),
        (b"BM\x46\0\0\0\0\0\0\0", "BMP"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x29", "JPEG 2000"),
        (b"\xff\x0a\xfa", "JPEG XL"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\0\0\1\0\1\0", "ICO"),
        (b"P5\n8 8", "PNM"),
        (b"NRRD0005", "NRRD"),
        (b"\x5c\x01\0\0" + b"\0" * 340 + b"n+1\0", "NIfTI"),
        (b"SIMPLE  =", "FITS"),
        (b"\n%PDF-1.7", "PDF"),
    ],
)
def test_an_image_format_that_is_not_decoded_is_named(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=rf"^{name} is not decoded here"):
        sniff(data)
