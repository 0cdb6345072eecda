"""The page draws the grays that the model is given."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from contract.pixels import to_uint8
from contract.radiograph import decode
from tests.e2e.desk import Desk
from tests.e2e.images import bands, lookup_table, white_is_zero, without_preamble
from tests.synthetic import as_dicom, as_png

DEEP = [0, 500, 1200, 2047, 2048, 3000, 3600, 4095]
MIDDLE = [1000, 1100, 1200, 1500, 1800, 2000, 2200, 2500]
SHALLOW = [0, 20, 60, 100, 127, 180, 220, 255]
HOUNSFIELD = [-1000, -900, -600, -300, -100, 0, 40, 400]
BAND = 32
# The page rounds a gray once to 8 bits, the service first to 16.
ROUNDING = 1
FOLDER = Path(__file__).parents[1] / "cases"
CASES = sorted([*FOLDER.glob("*.dcm"), *FOLDER.glob("predictors/*.dcm")])
# Those that no decoder of the page reads, with what the page says of them.
NOT_DRAWN = {
    "dicom-j2k-without-eoc": "The file seems to be damaged",
    "dicom-jpeg-without-eoi": "The file seems to be damaged",
    "jpeg-extended-overshoot-above-bits-stored": "cannot draw JPEG Extended",
}
# What the page opens with a window of its own.
WITHOUT_WINDOW = ("for-processing", "window-not-a-number")
CURVE = lookup_table(0, [round(4095 * (entry / 4095) ** 2) for entry in range(4096)], 12)


def with_outliers(pixels: np.ndarray, hot: int) -> np.ndarray:
    """One hot and one dead pixel, apart from all others, where no gray is read."""
    spoilt = pixels.copy()
    spoilt[0, 0], spoilt[-1, -1] = hot, 0
    return spoilt


CT = {"Modality": "CT", "RescaleIntercept": 0, "RescaleSlope": 1}

# What opens as the model sees it.
FIRST_VIEWS = {
    "a window": as_dicom(bands(DEEP), BitsStored=12, WindowCenter=1500, WindowWidth=2000),
    "a negative": as_dicom(
        bands(DEEP),
        BitsStored=12,
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter=2048,
        WindowWidth=4096,
    ),
    "a table": as_dicom(
        bands(DEEP), BitsStored=12, VOILUTSequence=[CURVE], WindowCenter=100, WindowWidth=200
    ),
    "a negative with a table": as_dicom(
        bands(DEEP),
        BitsStored=12,
        VOILUTSequence=[CURVE],
        PhotometricInterpretation="MONOCHROME1",
    ),
    "CT": as_dicom(bands(HOUNSFIELD, np.int16), WindowCenter=40, WindowWidth=400, **CT),
    "CT with padding": as_dicom(
        bands([-2000, *HOUNSFIELD[1:]], np.int16), PixelPaddingValue=-2000, **CT
    ),
    "a shallow DICOM": as_dicom(bands(SHALLOW, np.uint8)),
    "a bare data set": without_preamble(as_dicom(bands(SHALLOW, np.uint8))),
    "a shallow TIFF of which white is zero": white_is_zero(bands(SHALLOW, np.uint8)),
}
# What the page opens with a window of its own, and shows so when asked for the whole range.
WHOLE_RANGES = {
    "padding": as_dicom(
        bands(DEEP), BitsStored=12, PixelPaddingValue=4095, PixelPaddingRangeLimit=3500
    ),
    "padding of a negative": as_dicom(
        bands(DEEP),
        BitsStored=12,
        PixelPaddingValue=0,
        PhotometricInterpretation="MONOCHROME1",
    ),
    "a Modality LUT with padding": as_dicom(
        bands(DEEP), BitsStored=12, PixelPaddingValue=0, ModalityLUTSequence=[CURVE]
    ),
    "a 16-bit PNG of 12 bits": as_png(bands(DEEP)),
    "a 16-bit PNG": as_png(bands([value * 16 for value in DEEP])),
    "a deep TIFF of which white is zero": white_is_zero(bands(DEEP)),
    "a hot and a dead pixel": as_dicom(with_outliers(bands(MIDDLE), 4095), BitsStored=12),
    "a 16-bit PNG of 12 bits and a hot pixel": as_png(with_outliers(bands(MIDDLE), 65_535)),
}


def drawn(desk: Desk) -> list[int]:
    """The gray in the middle of each band, one pixel of the screen for one of the image."""
    desk.page.get_by_role("button", name="One to one").click()
    expect(desk.page.locator(".readout")).to_contain_text("100 %")
    row = desk.grays()
    left = len(row) // 2 - 4 * BAND
    return [row[left + band * BAND + BAND // 2] for band in range(8)]


def expected(data: bytes) -> list[int]:
    pixels = to_uint8(decode(data).pixels)
    return [int(gray) for gray in pixels[len(pixels) // 2, BAND // 2 :: BAND]]


@pytest.mark.parametrize("name", FIRST_VIEWS)
def test_an_image_opens_with_the_grays_that_the_model_is_given(desk: Desk, name: str) -> None:
    desk.read({"image": FIRST_VIEWS[name]})

    assert drawn(desk) == pytest.approx(expected(FIRST_VIEWS[name]), abs=ROUNDING)


@pytest.mark.parametrize("name", WHOLE_RANGES)
def test_the_whole_range_is_what_the_model_is_given(desk: Desk, name: str) -> None:
    desk.read({"image": WHOLE_RANGES[name]})

    desk.page.get_by_label("Window preset").select_option(label="Whole range")

    assert drawn(desk) == pytest.approx(expected(WHOLE_RANGES[name]), abs=ROUNDING)


@pytest.mark.usefixtures("refusals_expected")
@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_a_case_has_the_grays_that_the_service_reads_or_no_preview(desk: Desk, file: Path) -> None:
    desk.pick({file.name: file.read_bytes()})
    if file.stem in NOT_DRAWN:
        expect(desk.page.get_by_text(NOT_DRAWN[file.stem])).to_be_visible()
        return
    desk.wait_for_picture()
    if file.stem.startswith(WITHOUT_WINDOW):
        desk.page.get_by_label("Window preset").select_option(label="Whole range")

    desk.page.get_by_role("button", name="One to one").click()
    expect(desk.page.locator(".readout")).to_contain_text("100 %")

    pixels = to_uint8(decode(file.read_bytes()).pixels)
    rows, columns = pixels.shape
    row = desk.grays()
    left = (len(row) - columns) // 2
    assert row[left : left + columns] == pytest.approx(pixels[rows // 2].tolist(), abs=ROUNDING)
