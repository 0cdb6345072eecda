"""Files as hospitals send them, drawn for these tests: each is read right, or refused by name."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.cost import MAX_MEMORY_BYTES, estimate_cost
from contract.errors import (
    NoPixelData,
    PixelDataMismatch,
    TooExpensive,
    UnsuitableImage,
    UnsupportedFormat,
)
from contract.manifest import read_manifest
from contract.radiograph import Radiograph, decode
from contract.suitability import check_suitable

REPOSITORY = Path(__file__).resolve().parents[2]
CASES = REPOSITORY / "tests" / "cases"
MANIFEST = read_manifest(REPOSITORY / "models" / "xray-pneumonia" / "2")
MAX_PIXELS = 100_000_000
with (CASES / "cases.csv").open(newline="") as table:
    EXPECTED = {row["file"]: row["expected"] for row in csv.DictReader(table)}
SAME = [name for name, expected in EXPECTED.items() if expected.startswith("same")]
REFUSED = [name for name, expected in EXPECTED.items() if expected == "refuse 422"]
NAMED = {"gzip-of-dicom.bin": "gzip", "zip-of-a-study.bin": "ZIP", "document.pdf": "PDF"}
TIFF = {"tiff-webp.tiff": "compressed with webp", "tiff-signed-8-bit.tiff": "unsigned bits"}
# What decides, by the beginning of the file's name.
DECIDES = {
    "view-code": "View Code Sequence",
    "view": "View Position",
    "orientation": "Patient Orientation",
    "region": "Anatomic Region Sequence",
    "for-processing": "Presentation Intent Type",
}
# Of 255 grays. JPEG is lossy; without its window an image is stretched over its own range.
TOLERANCES = {"jpeg-8": 0.5, "jpeg-without": 0.5, "dicom-jpeg": 0.5, "window-not-a-number": 8}
HOSTILE = sorted(file for file in (CASES / "hostile").iterdir() if file.suffix in {".dcm", ".gz"})


def read(name: str) -> Radiograph:
    radiograph = decode((CASES / name).read_bytes())
    check_suitable(radiograph.dicom, MANIFEST)
    return radiograph


def grays(radiograph: Radiograph) -> NDArray[np.float64]:
    """The picture in grays of 255."""
    return radiograph.pixels / np.iinfo(radiograph.pixels.dtype).max * 255


def test_every_case_is_expected_to_give_something() -> None:
    others = {*NAMED, "DICOMDIR", "jpeg-extended-overshoot-above-bits-stored.dcm"}

    assert set(SAME) | set(REFUSED) | others == set(EXPECTED)
    assert {*EXPECTED} <= {file.name for file in CASES.iterdir()}


@pytest.mark.parametrize("name", sorted({*SAME} - {*TIFF}))
def test_a_file_has_the_grays_of_the_plain_picture(name: str) -> None:
    difference = np.abs(grays(read(name)) - grays(read("plain.png")))

    tolerance = next((t for start, t in TOLERANCES.items() if name.startswith(start)), 0.1)
    assert difference.mean() <= tolerance
    # One hot pixel is white; no other gray may differ by more than rounding.
    assert np.sort(difference, axis=None)[-2] <= max(0.3, 4 * tolerance)


def test_lossy_values_above_the_stored_bits_are_clipped() -> None:
    clipped = grays(read("jpeg-extended-overshoot-clipped-reference.dcm"))

    found = grays(read("jpeg-extended-overshoot-above-bits-stored.dcm"))

    # Two decoders of JPEG may differ by one of the 1024 values.
    assert np.abs(found - clipped).max() <= 0.26


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_model_cannot_judge_is_refused_by_the_attribute_that_says_so(name: str) -> None:
    attribute = next(told for start, told in DECIDES.items() if name.startswith(start))

    with pytest.raises(UnsuitableImage, match=attribute):
        read(name)


@pytest.mark.parametrize("name", NAMED)
def test_what_is_no_image_is_named(name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=f"^{NAMED[name]} is not decoded here"):
        read(name)


@pytest.mark.parametrize("name", TIFF)
def test_an_unsupported_kind_of_tiff_is_named(name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=TIFF[name]):
        read(name)


def test_the_index_of_a_medium_is_named() -> None:
    with pytest.raises(NoPixelData, match="DICOMDIR"):
        read("DICOMDIR")


@pytest.mark.parametrize("file", HOSTILE, ids=lambda file: file.name)
def test_a_small_file_that_would_cost_far_too_much_is_refused_by_its_claims(file: Path) -> None:
    data = file.read_bytes()
    data = gzip.decompress(data) if file.suffix == ".gz" else data

    for refused in (estimate_cost, decode):
        with pytest.raises((TooExpensive, PixelDataMismatch)):
            refused(data, max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("name", sorted({*SAME, *REFUSED} - {*TIFF}))
def test_a_case_is_cheap(name: str) -> None:
    cost = estimate_cost((CASES / name).read_bytes(), max_pixels=MAX_PIXELS)

    assert cost.memory_bytes <= MAX_MEMORY_BYTES
    is_plain = not name.startswith(("jpeg-", "j2k-", "dicom-", "tiff-")) or name.endswith(".jpeg")
    assert cost.plain == is_plain
