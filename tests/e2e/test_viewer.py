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
from tests.synthetic import Pixels, as_dicom, as_png, as_tiff

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


def without_heatmap(desk: Desk) -> None:
    desk.page.get_by_role("button", name="Heatmap").click()


def middle(desk: Desk) -> tuple[float, float]:
    box = desk.stage.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_drag_changes_the_window_on_the_full_depth(desk: Desk) -> None:
    # Two steps of sixteen bits differ by less than one of eight.
    deep = ramp(40_000)
    desk.open()
    desk.read({"deep.png": as_png(deep)})
    without_heatmap(desk)
    opened = len(set(desk.grays()))
    x, y = middle(desk)

    desk.page.mouse.move(x, y)
    desk.page.mouse.down()
    desk.page.mouse.move(x + 3000, y, steps=5)
    desk.page.mouse.up()

    assert opened > 200
    assert len(set(desk.grays())) < opened / 2


def test_a_preset_of_the_file_and_own_numbers_set_the_window(desk: Desk) -> None:
    desk.open()
    desk.read({"chest.dcm": chest_dicom()})
    expect(desk.page.get_by_label("Window preset")).to_have_value("0")

    desk.page.get_by_label("Centre").fill("100")
    desk.page.get_by_label("Centre").press("Enter")

    expect(desk.page.locator(".readout")).to_contain_text("C 100 W 4096")
    desk.page.get_by_label("Window preset").select_option(label="From the file")
    expect(desk.page.locator(".readout")).to_contain_text("C 2048 W 4096")


def test_monochrome1_is_shown_as_the_model_reads_it(desk: Desk) -> None:
    values = ramp(0)
    desk.open()
    desk.read(
        {
            "negative.dcm": as_dicom(
                values, PhotometricInterpretation="MONOCHROME1", BodyPartExamined="CHEST"
            )
        }
    )
    without_heatmap(desk)

    grays = [gray for gray in desk.grays() if gray not in (0, 255)]

    assert grays == sorted(grays, reverse=True)
    assert len(grays) > 100


def test_inversion_turns_black_to_white_and_back(desk: Desk) -> None:
    desk.open()
    desk.read({"ramp.png": as_png(ramp(0, np.uint8))})
    without_heatmap(desk)
    before = desk.grays()

    desk.page.get_by_role("button", name="Invert").click()
    inverted = desk.grays()
    desk.page.get_by_role("button", name="Invert").click()

    shown = [at for at, gray in enumerate(before) if 10 < gray < 245]
    assert shown
    assert [inverted[at] for at in shown] == [255 - before[at] for at in shown]
    assert desk.grays() == before


def test_the_image_zooms_at_the_pointer_pans_and_fits_again(desk: Desk) -> None:
    desk.open()
    desk.read({"chest.jpg": normal_jpeg()})
    readout = desk.page.locator(".readout")
    fitted = readout.inner_text()
    x, y = middle(desk)

    desk.page.get_by_role("button", name="One to one").click()
    expect(readout).to_contain_text("100 %")
    desk.page.mouse.move(x, y)
    desk.page.mouse.wheel(0, -400)
    desk.settle()
    zoomed = readout.inner_text()
    desk.page.get_by_role("button", name="Move", exact=True).click()
    before = desk.grays()
    desk.page.mouse.move(x, y)
    desk.page.mouse.down()
    desk.page.mouse.move(x + 60, y + 40, steps=4)
    desk.page.mouse.up()
    moved = desk.grays()
    desk.page.get_by_role("button", name="Fit").click()

    assert zoomed != fitted
    assert "182 %" in zoomed
    assert moved != before
    assert readout.inner_text() == fitted


def test_every_lossless_transfer_syntax_looks_as_the_plain_file_does(desk: Desk) -> None:
    desk.open()
    desk.read({"plain.dcm": chest_dicom()})
    without_heatmap(desk)
    plain = desk.grays()
    shown = {}

    for syntax in SYNTAXES:
        desk.page.get_by_role("button", name="Remove all").click()
        desk.read({f"{syntax}.dcm": chest_dicom(TransferSyntaxUID=syntax)})
        shown[syntax.name] = desk.grays()

    assert len(set(plain)) > 50
    assert [name for name, grays in shown.items() if grays != plain] == []


def test_a_deep_tiff_is_drawn_though_browsers_cannot(desk: Desk) -> None:
    desk.open()

    desk.read({"deep.tiff": as_tiff(ramp(40_000))})

    without_heatmap(desk)
    assert len(set(desk.grays())) > 200


@pytest.mark.usefixtures("refusals_expected")
def test_what_cannot_be_drawn_is_said_and_still_sent(desk: Desk) -> None:
    video = bytearray(chest_dicom())
    plain = b"1.2.840.10008.1.2.1\0"
    video[video.index(plain) : video.index(plain) + len(plain)] = b"1.2.840.10008.1.2.9\0"
    desk.open()

    desk.pick({"unknown.dcm": bytes(video)})

    expect(desk.stage).to_contain_text("No preview")
    expect(desk.stage).to_contain_text("still sent to the service")
    expect(desk.result).to_contain_text("This image could not be read")
