import re

import numpy as np
import pytest
from playwright.sync_api import expect
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    RLELossless,
)

from tests.e2e.desk import Desk
from tests.e2e.images import chest_dicom, normal_jpeg
from tests.synthetic import Pixels, as_dicom, as_png

SIZE = 256
SYNTAXES = (
    JPEG2000Lossless,
    RLELossless,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def ramp(least: int, dtype: type[np.generic] = np.uint16) -> Pixels:
    """Every value from ``least`` to ``least + 255``, from left to right."""
    return np.tile(np.arange(least, least + SIZE).astype(dtype), (SIZE, 1))


def test_a_drag_changes_the_window_on_the_full_depth(desk: Desk) -> None:
    # Two steps of sixteen bits differ by less than one of eight.
    deep = ramp(40_000)
    desk.read({"deep.png": as_png(deep)})
    opened = len(set(desk.grays()))

    desk.drag(3000, 0)

    assert opened > 200
    assert len(set(desk.grays())) < opened / 2


def test_a_preset_of_the_file_and_own_numbers_set_the_window_which_is_spoken_after_a_key(
    desk: Desk,
) -> None:
    desk.read({"chest.dcm": chest_dicom()})
    expect(desk.page.get_by_label("Window preset")).to_have_value("0")
    desk.page.get_by_role("button", name="Viewing aids").click()

    desk.page.get_by_label("Centre").fill("100")
    desk.page.get_by_label("Centre").press("Enter")

    expect(desk.page.locator(".readout")).to_contain_text("C 100 W 4096")
    desk.page.get_by_label("Window preset").select_option(label="From the file")
    expect(desk.page.locator(".readout")).to_contain_text("C 2048 W 4096")
    desk.stage.press("1")
    spoken = desk.page.locator(".stage-frame").get_by_role("status")
    expect(spoken).to_have_text("Zoom 100 percent, window centre 2048, width 4096")


def test_inversion_turns_black_to_white_and_back(desk: Desk) -> None:
    desk.read({"ramp.png": as_png(ramp(0, np.uint8))})
    before = desk.grays()

    desk.page.get_by_role("button", name="Invert").click()
    inverted = desk.grays()
    desk.page.get_by_role("button", name="Invert").click()

    shown = [at for at, gray in enumerate(before) if 10 < gray < 245]
    assert shown
    assert [inverted[at] for at in shown] == [255 - before[at] for at in shown]
    assert desk.grays() == before


def test_the_image_zooms_at_the_pointer_pans_and_fits_again(desk: Desk) -> None:
    desk.read({"chest.jpg": normal_jpeg()})
    readout = desk.page.locator(".readout")
    fitted = readout.inner_text()

    desk.page.get_by_role("button", name="One to one").click()
    expect(readout).to_contain_text("100 %")
    desk.page.mouse.move(*desk.middle())
    desk.page.mouse.wheel(0, -400)
    desk.settle()
    zoomed = readout.inner_text()
    desk.page.get_by_role("button", name="Move", exact=True).click()
    before = desk.grays()
    desk.drag(60, 40)
    moved = desk.grays()
    desk.page.get_by_role("button", name="Fit").click()

    assert zoomed != fitted
    assert "182 %" in zoomed
    assert moved != before
    assert readout.inner_text() == fitted


def test_every_lossless_transfer_syntax_looks_as_the_plain_file_does(desk: Desk) -> None:
    desk.read({"plain.dcm": chest_dicom()})
    plain = desk.grays()
    shown = {}

    for syntax in SYNTAXES:
        desk.page.get_by_role("button", name="Remove all").click()
        desk.read({f"{syntax}.dcm": chest_dicom(TransferSyntaxUID=syntax)})
        shown[syntax.name] = desk.grays()

    assert len(set(plain)) > 50
    assert [name for name, grays in shown.items() if grays != plain] == []


@pytest.mark.usefixtures("refusals_expected")
def test_what_cannot_be_drawn_is_said_and_still_sent(desk: Desk) -> None:
    video = bytearray(chest_dicom())
    plain = b"1.2.840.10008.1.2.1\0"
    video[video.index(plain) : video.index(plain) + len(plain)] = b"1.2.840.10008.1.2.9\0"

    desk.pick({"unknown.dcm": bytes(video)})

    expect(desk.stage).to_contain_text("No preview")
    expect(desk.stage).to_contain_text("still sent to the service")
    expect(desk.result).to_contain_text("This image could not be read")


def test_upwards_is_brighter_for_a_negative_too(desk: Desk) -> None:
    desk.read(
        {
            "negative.dcm": as_dicom(
                ramp(0),
                PhotometricInterpretation="MONOCHROME1",
                WindowCenter=128,
                WindowWidth=256,
            )
        }
    )
    before = sum(desk.grays())

    desk.stage.press("Shift+ArrowUp")
    desk.stage.press("Shift+ArrowUp")
    by_key = sum(desk.grays())
    desk.drag(0, -60)

    assert before < by_key < sum(desk.grays())


@pytest.mark.usefixtures("refusals_expected")
def test_a_decoder_that_did_not_arrive_is_asked_for_again(closed: Desk) -> None:
    decoder = re.compile("openjpeg")
    closed.page.context.route(decoder, lambda route: route.abort())
    desk = closed.open()
    desk.pick({"chest.dcm": chest_dicom(TransferSyntaxUID=JPEG2000Lossless)})
    expect(desk.stage).to_contain_text("could not be loaded")
    desk.page.context.unroute(decoder)

    # The page looks for the service every few seconds.
    desk.wait_for_picture()


def test_a_decoder_is_there_before_it_is_needed(closed: Desk) -> None:
    with closed.page.context.expect_event(
        "request", lambda request: "charls" in request.url and request.url.endswith(".wasm")
    ):
        desk = closed.open()

    assert desk.page.locator(".study").count() == 0


def test_the_frames_stay_in_reach_of_one_that_is_damaged(desk: Desk) -> None:
    frames = np.stack([ramp(0, np.uint8)] * 3)
    whole = as_dicom(frames, NumberOfFrames=3, TransferSyntaxUID=RLELossless)
    segments = (1).to_bytes(4, "little") + (64).to_bytes(4, "little")
    second = whole.index(segments, whole.index(segments) + 1)
    damaged = whole[:second] + b"\7" + whole[second + 1 :]
    desk.read({"series.dcm": damaged})
    slider = desk.page.locator(".frames input")

    slider.fill("2")
    expect(desk.stage).to_contain_text("damaged")
    slider.fill("3")

    desk.wait_for_picture()


def test_the_legend_looks_as_the_heatmap_over_gray(desk: Desk) -> None:
    desk.read({"chest.jpg": normal_jpeg()})
    # A copy is read, once, so that the page's own canvas stays as the page made it.
    ends = """canvas => {
        const context = new OffscreenCanvas(128, 1).getContext('2d');
        context.drawImage(canvas, 0, 0);
        const { data } = context.getImageData(0, 0, 128, 1);
        return [[...data.slice(0, 3)], [...data.slice(-4, -1)]];
    }"""
    legend = desk.page.locator(".legend canvas")
    desk.heatmap_switch.click()

    desk.page.get_by_label("Opacity").fill("0.5")
    desk.settle()
    half = legend.evaluate(ends)
    desk.page.get_by_label("Opacity").fill("1")
    desk.settle()
    full = legend.evaluate(ends)

    gray = [128, 128, 128]
    assert half[0] == full[0] == gray
    assert half[1] == pytest.approx(np.mean([full[1], gray], axis=0), abs=2)
    assert full[1] != half[1]
