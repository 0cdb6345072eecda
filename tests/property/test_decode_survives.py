import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from contract.cost import estimate_cost
from contract.errors import ImageError
from contract.radiograph import decode
from tests.odd_files import as_deep_png, as_lut_item, as_palette, as_raw_tiff, without_meta
from tests.synthetic import as_dicom, as_jpeg, as_png, as_tiff, synthetic_radiograph

MAX_PIXELS = 100_000
CHEST = synthetic_radiograph(64, 70)
DEEP = CHEST.astype(np.uint16) * 16
COLOUR = np.stack([CHEST, CHEST // 2, 255 - CHEST], axis=-1)
LOSSLESS = (
    *(ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian),
    *(DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless),
)


def saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


FILES = {
    "jpeg": as_jpeg(CHEST),
    "jpeg colour": as_jpeg(COLOUR),
    "jpeg progressive": saved(Image.fromarray(CHEST), "JPEG", progressive=True),
    "png": as_png(CHEST),
    "png 16 bit": as_png(DEEP),
    "png 16 bit colour": as_deep_png(np.repeat(DEEP[..., np.newaxis] * 16, 3, axis=-1)),
    "png palette": saved(Image.fromarray(COLOUR).quantize(), "PNG"),
    "tiff": as_tiff(DEEP),
    "tiff pages": as_raw_tiff(CHEST, DEEP, COLOUR),
    "tiff lzw": saved(Image.fromarray(CHEST), "TIFF", compression="tiff_lzw"),
    "dicom palette": as_dicom(CHEST // 64, **as_palette([(i, 9, 255) for i in range(4)], 8)),
    "dicom table": as_dicom(
        CHEST, ModalityLUTSequence=[as_lut_item(first=0, entries=range(256), bits=16)]
    ),
    "dicom without meta": without_meta(as_dicom(DEEP, WindowCenter=2048, WindowWidth=4096)),
    "dicom frames": as_dicom(np.stack([CHEST, CHEST]), NumberOfFrames=2, PixelPaddingValue=0),
    "dicom jpeg": as_dicom(CHEST, TransferSyntaxUID=JPEGBaseline8Bit),
} | {f"dicom {uid.name}": as_dicom(DEEP, TransferSyntaxUID=uid) for uid in LOSSLESS}


def check(data: bytes, frame: int = 1) -> None:
    """Decode, and demand pixels or an error of this project; any other error fails the test."""
    try:
        estimate_cost(data, frame=frame, max_pixels=MAX_PIXELS)
        radiograph = decode(data, frame=frame, max_pixels=MAX_PIXELS, at_least=(8, 8))
    except ImageError:
        return
    assert radiograph.pixels.dtype in (np.uint8, np.uint16)
    assert radiograph.pixels.ndim == 2
    assert 0 < radiograph.rows * radiograph.columns <= MAX_PIXELS


@pytest.mark.parametrize("name", FILES)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=5)), max_size=6),
    frame=st.integers(1, 2),
)
def test_changed_bytes_give_pixels_or_an_error_of_ours(
    name: str, edits: list[tuple[float, bytes]], frame: int
) -> None:
    data = FILES[name]
    for place, replacement in edits:
        start = int(place * len(data))
        data = data[:start] + replacement + data[start + len(replacement) :]

    check(data, frame)


@pytest.mark.parametrize("name", FILES)
@given(edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_changed_header_gives_pixels_or_an_error_of_ours(
    name: str, edits: list[tuple[int, int]]
) -> None:
    data = bytearray(FILES[name])
    for place, value in edits:
        data[place % len(data)] = value

    check(bytes(data))


@pytest.mark.parametrize("name", FILES)
@given(kept=st.floats(0, 1))
def test_a_cut_file_gives_pixels_or_an_error_of_ours(name: str, kept: float) -> None:
    check(FILES[name][: int(kept * len(FILES[name]))])


@given(
    magic=st.sampled_from(
        [
            *(b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0+"),
            *(b"\0" * 128 + b"DICM", b"\x08\0\x05\0", b"\x02\0\x10\0UI"),
        ]
    ),
    data=st.binary(max_size=300),
)
def test_arbitrary_bytes_give_an_error_of_ours(magic: bytes, data: bytes) -> None:
    check(magic + data)


@pytest.mark.parametrize("name", FILES)
def test_the_unchanged_file_gives_pixels(name: str) -> None:
    assert decode(FILES[name], max_pixels=MAX_PIXELS).pixels.shape == CHEST.shape
