from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.desk import Desk

# Cut off, without a transfer syntax, a treatment plan, a report: there is nothing to draw.
NOT_DRAWN = {"MR_truncated.dcm", "meta_missing_tsyntax.dcm", "rtplan.dcm", "test-SR.dcm"}
DRAWN_OR_NOT = "canvas.picture:not([hidden]), .stage-note-title"


@pytest.mark.data
def test_a_real_radiograph_is_drawn_and_decided(desk: Desk, data_dir: Path) -> None:
    file = min((data_dir / "chest_xray_originals" / "PNEUMONIA").iterdir())

    desk.drop({file.name: file.read_bytes()})

    expect(desk.decision).to_be_visible()
    desk.wait_for_picture()
    assert len(set(desk.grays())) > 50


@pytest.mark.data
@pytest.mark.usefixtures("refusals_expected")
def test_every_real_dicom_image_is_drawn(desk: Desk, data_dir: Path) -> None:
    files = sorted((data_dir / "dicom").glob("*.dcm"))
    drawn = {}

    for file in files:
        desk.pick({file.name: file.read_bytes()})
        expect(desk.page.locator(".result-file")).to_have_text(file.name)
        desk.page.locator(DRAWN_OR_NOT).first.wait_for()
        drawn[file.name] = desk.page.locator("canvas.picture").is_visible()
        desk.page.get_by_role("button", name="Remove all").click()

    assert {name for name, is_drawn in drawn.items() if not is_drawn} == NOT_DRAWN
    assert len(drawn) == len(files) > len(NOT_DRAWN)
