"""What a decode takes of the machine's memory, in a process of its own: its peak never falls."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from contract.errors import TooManyPixels
from contract.frame import BYTES_PER_PIXEL
from contract.radiograph import decode
from tests.odd_files import as_deep_png, as_raw_tiff, png_chunk
from tests.synthetic import as_dicom, as_jpeg, as_png

SIDE = 60
DEEP_COLOUR = np.zeros((SIDE, SIDE, 3), np.uint16)
COLOUR = np.zeros((SIDE, SIDE, 3), np.uint8)
DEEP = np.zeros((SIDE, SIDE), np.uint16)
MEASURE = """
import resource, sys
from contract.errors import TooManyPixels
from contract.radiograph import decode
data = open(sys.argv[1], "rb").read()
decode(data, max_pixels=int(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak_mib(file: Path, max_pixels: int) -> int:
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file), str(max_pixels)],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    return int(measured.stdout)


def large_deep_png(side: int) -> bytes:
    """Encode black 16-bit RGBA a line at a time, so that the test itself stays small."""
    packer = zlib.compressobj()
    lines = b"".join(packer.compress(bytes(1 + 8 * side)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", lines), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in chunks)


def large_deflated_dicom(side: int) -> bytes:
    deep = np.zeros((side, side), np.uint16)
    return as_dicom(
        deep, BitsStored=12, HighBit=15, TransferSyntaxUID=DeflatedExplicitVRLittleEndian
    )


@pytest.mark.parametrize(
    ("data", "pixels", "counted"),
    [(large_deep_png(3500), 12_250_000, 2), (large_deflated_dicom(3500), 12_250_000, 1.2)],
    ids=["16-bit RGBA PNG", "deflated DICOM"],
)
def test_a_large_image_is_decoded_within_five_bytes_for_each_counted_pixel(
    tmp_path: Path, data: bytes, pixels: int, counted: float
) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(as_png(np.zeros((8, 8), np.uint8)))
    large.write_bytes(data)

    budget = round(counted * pixels)
    taken = peak_mib(large, budget) - peak_mib(small, budget)

    # Beyond the image there are the blocks of a million values, in double precision at most.
    assert taken <= BYTES_PER_PIXEL * budget / 2**20 + 40


def saved(mode: str, format_name: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (SIDE, SIDE)).save(file, format_name, **options)
    return file.getvalue()


def turned_tiff(samples: NDArray[np.uint16]) -> bytes:
    return as_raw_tiff(samples, tags={274: [6]})


@pytest.mark.parametrize(
    ("data", "counted"),
    [
        (as_jpeg(DEEP.astype(np.uint8)), 1),
        (as_jpeg(COLOUR), 1.4),
        (saved("CMYK", "JPEG"), 2.4),
        (as_png(COLOUR), 1),
        (as_png(DEEP), 1),
        (as_deep_png(DEEP_COLOUR), 2),
        (as_deep_png(np.zeros((SIDE, SIDE, 2), np.uint16)), 1.2),
        (saved("F", "TIFF"), 1.2),
        (saved("RGB", "TIFF", compression="tiff_lzw"), 1.4),
        (saved("RGB", "TIFF", compression="tiff_lzw", tiffinfo={278: 1}), 1),
        (turned_tiff(DEEP), 1),
        (turned_tiff(DEEP_COLOUR), 2.4),
        (as_dicom(DEEP), 1.2),
        (as_dicom(DEEP.astype(np.uint8)), 1),
        (as_dicom(DEEP.astype(np.uint32)), 2),
        (as_dicom(DEEP_COLOUR), 2.8),
        (as_dicom(DEEP, TransferSyntaxUID=RLELossless), 1.6),
        (as_dicom(COLOUR, TransferSyntaxUID=JPEG2000Lossless), 3.6),
        (as_dicom(DEEP.astype(np.float64), TransferSyntaxUID=ExplicitVRLittleEndian), 3.6),
    ],
    ids=range(19),
)
def test_a_pixel_that_takes_more_memory_counts_for_more(data: bytes, counted: float) -> None:
    budget = round(counted * SIDE * SIDE)

    assert decode(data, max_pixels=budget).rows == SIDE
    with pytest.raises(TooManyPixels, match="60 x 60"):
        decode(data, max_pixels=budget - 1)


def test_a_large_deep_image_is_refused_at_the_default_budget_before_it_is_decoded() -> None:
    side = struct.pack(">II", 10_000, 10_000)
    claimed = as_deep_png(np.zeros((8, 8, 4), np.uint16)).replace(struct.pack(">II", 8, 8), side)

    with pytest.raises(TooManyPixels, match="of a deep kind, which count as 200000000"):
        decode(claimed)
