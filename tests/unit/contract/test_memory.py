"""What a decode takes of the machine's memory, in a process of its own: its peak never falls."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from contract.errors import TooManyPixels
from contract.frame import BYTES_PER_PIXEL
from contract.radiograph import decode
from tests.odd_files import as_deep_png, as_raw_tiff
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
    return as_png(np.zeros((side, side), np.uint16))


def large_deflated_dicom(side: int) -> bytes:
    deep = np.zeros((side, side), np.uint16)
    return as_dicom(
        deep, BitsStored=12, HighBit=15, TransferSyntaxUID=DeflatedExplicitVRLittleEndian
    )


@pytest.mark.parametrize(
    ("data", "pixels", "counted"),
    [(large_deep_png(3500), 12_250_000, 1), (large_deflated_dicom(3500), 12_250_000, 1.2)],
    ids=["16-bit PNG", "deflated DICOM"],
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
        (as_deep_png(DEEP_COLOUR), 1),
        (saved("RGB", "TIFF", compression="tiff_lzw"), 1.4),
        (saved("RGB", "TIFF", compression="tiff_lzw", tiffinfo={278: 1}), 1),
        (turned_tiff(DEEP), 1),
        (as_dicom(DEEP), 1.2),
        (as_dicom(DEEP.astype(np.uint8)), 1),
        (as_dicom(DEEP_COLOUR), 2.8),
        (as_dicom(DEEP, TransferSyntaxUID=RLELossless), 1.6),
        (as_dicom(COLOUR, TransferSyntaxUID=JPEG2000Lossless), 3.6),
    ],
    ids=range(14),
)
def test_a_pixel_that_takes_more_memory_counts_for_more(data: bytes, counted: float) -> None:
    budget = round(counted * SIDE * SIDE)

    assert decode(data, max_pixels=budget).rows == SIDE
    with pytest.raises(TooManyPixels, match="60 x 60"):
        decode(data, max_pixels=budget - 1)
