import io

import numpy as np
import pytest
from PIL import Image

from contract.codestream import is_complete, read_jpeg2000_header, read_jpeg_header
from tests.synthetic import as_jpeg

PIXELS = np.zeros((20, 30), dtype=np.uint8)
SIZ = b"\xff\x4f\xff\x51\0\x29\0\0"


def as_jpeg_2000(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG2000", no_jp2=True)
    return file.getvalue()


def test_a_jpeg_says_how_large_it_is() -> None:
    header = read_jpeg_header(as_jpeg(PIXELS))

    assert header is not None
    assert (header.rows, header.columns, header.components, header.precision) == (20, 30, 1, 8)
    assert header.is_common_jpeg


def test_a_jpeg_frame_header_is_found_behind_fill_bytes_and_bare_markers() -> None:
    jpeg = as_jpeg(PIXELS)
    padded = jpeg[:2] + b"\xff\xff\xff\xd0" + jpeg[2:]

    assert read_jpeg_header(padded) == read_jpeg_header(jpeg)


@pytest.mark.parametrize("process", [b"\xff\xc3", b"\xff\xc9", b"\xff\xf7"])
def test_lossless_arithmetic_and_jpeg_ls_are_no_common_jpeg(process: bytes) -> None:
    header = read_jpeg_header(as_jpeg(PIXELS).replace(b"\xff\xc0", process))

    assert header is not None
    assert not header.is_common_jpeg


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9" + b"\0" * 10, b"\xff\xd8" + b"x" * 20]
)
def test_without_a_frame_header_there_is_none(data: bytes) -> None:
    assert read_jpeg_header(data) is None


def test_a_jpeg_2000_codestream_says_how_large_it_is() -> None:
    header = read_jpeg2000_header(as_jpeg_2000(PIXELS))

    assert header is not None
    assert (header.rows, header.columns, header.components, header.precision) == (20, 30, 1, 8)
    assert not header.is_common_jpeg


def test_the_offset_of_a_jpeg_2000_image_is_no_part_of_its_size() -> None:
    fields = (b"\0\0\0\x30", b"\0\0\0\x20", b"\0\0\0\x10", b"\0\0\0\x08", b"\0" * 16)

    header = read_jpeg2000_header(SIZ + b"".join(fields) + b"\0\x03" + b"\x8b")

    assert header is not None
    assert (header.rows, header.columns) == (24, 32)
    assert (header.components, header.precision) == (3, 12)


@pytest.mark.parametrize("data", [b"", SIZ, as_jpeg(PIXELS)])
def test_without_a_size_segment_there_is_no_jpeg_2000_header(data: bytes) -> None:
    assert read_jpeg2000_header(data) is None


def test_a_codestream_without_its_end_is_not_complete() -> None:
    jpeg = as_jpeg(PIXELS)

    assert is_complete(jpeg)
    assert not is_complete(jpeg[:-2])
