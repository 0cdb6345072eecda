"""What a decode takes of the machine's memory, in a process of its own: its peak never falls."""

import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from contract.cost import estimate_cost
from tests.odd_files import as_deep_png, as_raw_tiff
from tests.synthetic import as_dicom, as_jpeg, as_png, saved, synthetic_radiograph

SIDE = 2000
MAX_PIXELS = (4 * SIDE) ** 2
CHEST = synthetic_radiograph(SIDE, SIDE)
DEEP = CHEST.astype(np.uint16) << 8
COLOUR = np.stack([CHEST] * 3, axis=-1)
MEASURE = """
import pathlib, re, sys
from contract.radiograph import decode
data = open(sys.argv[1], "rb").read()
decode(data, max_pixels=int(sys.argv[2]))
print(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1] + "000")
"""


def peak_bytes(file: Path) -> int:
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file), str(MAX_PIXELS)],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    return int(measured.stdout)


LARGE = {
    # Large enough that their coefficients, were they kept, would not go unnoticed.
    "JPEG": lambda: as_jpeg(np.tile(CHEST, (4, 4))),
    "colour JPEG": lambda: as_jpeg(np.tile(COLOUR, (4, 4, 1))),
    "progressive JPEG": lambda: saved(CHEST, "JPEG", progressive=True),
    "progressive colour JPEG": lambda: saved(COLOUR, "JPEG", progressive=True),
    "PNG": lambda: as_png(CHEST),
    "colour PNG": lambda: as_png(COLOUR),
    "16-bit PNG": lambda: as_png(DEEP),
    "16-bit colour PNG": lambda: as_deep_png(np.stack([DEEP] * 4, axis=-1)),
    "turned 16-bit TIFF": lambda: as_raw_tiff(DEEP, tags={274: [6]}),
    "LZW colour TIFF": lambda: saved(COLOUR, "TIFF", compression="tiff_lzw"),
    "native DICOM": lambda: as_dicom(DEEP, PhotometricInterpretation="MONOCHROME1"),
    "native colour DICOM": lambda: as_dicom(COLOUR),
    "deflated DICOM": lambda: as_dicom(DEEP, TransferSyntaxUID=DeflatedExplicitVRLittleEndian),
    "JPEG DICOM": lambda: as_dicom(CHEST, TransferSyntaxUID=JPEGBaseline8Bit),
    "colour JPEG DICOM": lambda: as_dicom(
        COLOUR, TransferSyntaxUID=JPEGBaseline8Bit, PixelData=[as_jpeg(COLOUR)]
    ),
    "RLE DICOM": lambda: as_dicom(DEEP, TransferSyntaxUID=RLELossless),
    "JPEG 2000 DICOM": lambda: as_dicom(DEEP, TransferSyntaxUID=JPEG2000Lossless),
    "JPEG Lossless DICOM": lambda: as_dicom(
        DEEP,
        TransferSyntaxUID=JPEGLosslessSV1,
        PixelData=[bytes(imagecodecs.ljpeg_encode(DEEP, bitspersample=16))],
    ),
}


@pytest.fixture(scope="module")
def at_rest(tmp_path_factory: pytest.TempPathFactory) -> int:
    """What the libraries take, with an image of no size."""
    small = tmp_path_factory.mktemp("small") / "small"
    small.write_bytes(as_png(np.zeros((8, 8), np.uint8)))
    return peak_bytes(small)


@pytest.mark.parametrize("kind", LARGE)
def test_a_file_takes_no_more_memory_than_was_estimated(
    tmp_path: Path, at_rest: int, kind: str
) -> None:
    data, file = LARGE[kind](), tmp_path / "large"
    file.write_bytes(data)

    taken = peak_bytes(file) - at_rest - len(data)

    # Beyond the image there are more libraries, and blocks of a million values in doubles.
    assert taken <= estimate_cost(data, max_pixels=MAX_PIXELS).memory_bytes + 40e6
