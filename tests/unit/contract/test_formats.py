import numpy as np
import pytest

from contract.errors import NotAnImage, UnsupportedFormat
from contract.formats import sniff
from tests.odd_files import as_raw_tiff
from tests.synthetic import as_dicom, as_jpeg, as_png, as_tiff

PIXELS = np.zeros((8, 8), dtype=np.uint8)
META_END = 132


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (as_jpeg(PIXELS), "JPEG"),
        (as_png(PIXELS), "PNG"),
        (as_tiff(PIXELS), "TIFF"),
        (as_raw_tiff(PIXELS, order=">"), "TIFF"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"MM\0+\0\x08\0\0", "TIFF"),
        (as_dicom(PIXELS), "DICOM"),
    ],
)
def test_the_first_bytes_name_the_format(data: bytes, name: str) -> None:
    assert sniff(data) == name


@pytest.mark.parametrize(
    "data",
    [
        as_dicom(PIXELS)[META_END:],
        b"\x08\0\x16\0UI\x02\0" + b"1.",
        b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100",
        b"\0\x08\0\x16UI\0\x02" + b"1.",
    ],
    ids=["file meta", "explicit", "implicit", "big endian"],
)
def test_a_data_set_without_preamble_is_dicom(data: bytes) -> None:
    assert sniff(data) == "DICOM"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"<html></html>",
        b"\0" * 200,
        b"\x08\0\x05\0",
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
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"PK\x03\x04", "ZIP"),
        (b"%PDF-1.7", "PDF"),
        (b"\n%PDF-1.7", "PDF"),
    ],
)
def test_an_image_format_that_is_not_decoded_is_named(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=rf"^{name} is not decoded here"):
        sniff(data)
