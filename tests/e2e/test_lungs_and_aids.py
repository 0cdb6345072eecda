"""The outline of the lungs, and what helps the eye without reaching the model."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.bundles import write_bundle, write_segmenter_bundle
from tests.e2e.answers import change_answers
from tests.e2e.axe import violations
from tests.e2e.desk import DRAWN, Desk
from tests.gateway import stack
from tests.gateway.stack import Service
from tests.synthetic import Pixels, as_png

SIDE = 256


@pytest.fixture(scope="module")
def lung_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("with-lungs")
    write_bundle(folder / "models")
    write_segmenter_bundle(folder / "models")
    with stack.service(folder, PNEUMO_MODELS_DIR=str(folder / "models")) as running:
        yield running


@pytest.fixture
def lung_desk(visit: Callable[[Service], Desk], lung_service: Service) -> Desk:
    return visit(lung_service).open()


def chest() -> bytes:
    """White, but for two dark squares: the lungs, as the segmenter of the tests has it."""
    image = np.full((SIDE, SIDE), 255, np.uint8)
    image[64:192, 32:96] = image[64:192, 160:224] = 0
    return as_png(image)


def faint() -> Pixels:
    """Bright on one side; on the other a ripple of eight grays."""
    y, x = np.ogrid[:SIDE, :SIDE]
    ripple = 20 + (x // 4 + y // 4) % 8
    return np.where(x < SIDE // 2, ripple, 200).astype(np.uint8)


def outlined(desk: Desk) -> int:
    """How many pixels are blue, as nothing but the outline is."""
    desk.settle()
    count: int = desk.page.evaluate(
        f"""() => {{
            const {{ width, height, context }} = {DRAWN};
            const {{ data }} = context.getImageData(0, 0, width, height);
            let count = 0;
            for (let at = 0; at < data.length; at += 4) if (data[at + 2] - data[at] > 90) count++;
            return count;
        }}"""
    )
    return count


def test_the_lungs_are_outlined_and_described_until_switched_off(lung_desk: Desk) -> None:
    lung_desk.read({"chest.png": chest()})
    switch = lung_desk.page.get_by_role("button", name="Lungs")
    expect(switch).to_have_attribute("aria-pressed", "true")
    expect(lung_desk.page.get_by_text("the lungs as a small model sees them")).to_be_visible()
    drawn = outlined(lung_desk)
    assert violations(lung_desk.page) == []

    switch.click()
    switched_off = outlined(lung_desk)
    lung_desk.stage.press("l")
    by_key = outlined(lung_desk)

    assert drawn > 500
    assert (switched_off, by_key) == (0, drawn)


def test_of_a_referred_image_no_lungs_are_drawn_until_asked_for(lung_desk: Desk) -> None:
    change_answers(lung_desk.page, {"decision": "refer", "reasons": ["uncertain"]})
    lung_desk.read({"chest.png": chest()})
    switch = lung_desk.page.get_by_role("button", name="Lungs")
    expect(switch).to_have_attribute("aria-pressed", "false")
    closed = outlined(lung_desk)

    switch.click()

    assert closed == 0
    assert outlined(lung_desk) > 500


def test_the_aids_change_this_picture_alone_and_say_so(desk: Desk) -> None:
    sent: list[str] = []
    desk.page.on("request", lambda request: sent.append(request.url))
    desk.read({"faint.png": as_png(faint()), "next.png": as_png(faint())})
    expect(desk.page.locator(".tray-count")).to_contain_text("2 of 2 read")
    desk.page.get_by_role("button", name="Viewing aids").click()
    plain, answered = desk.grays(), len([url for url in sent if "/predict" in url])
    aids = desk.page.get_by_role("group", name="Viewing aids")
    mark = desk.page.get_by_text("Display only:")
    expect(aids).to_contain_text("the model reads the file")
    expect(mark).to_have_count(0)

    aids.get_by_role("button", name="Local contrast").click()
    expect(mark).to_have_text("Display only: Local contrast")
    local = desk.grays()
    aids.get_by_label("Gamma").fill("2")
    expect(mark).to_have_text("Display only: Local contrast, Gamma 2")
    brighter = desk.grays()
    desk.page.get_by_role("button", name="Reset").click()
    expect(mark).to_have_count(0)

    dark = [at for at, gray in enumerate(plain) if 15 < gray < 35]
    assert np.ptp([local[at] for at in dark]) > np.ptp([plain[at] for at in dark]) + 5
    assert sum(brighter) > sum(local)
    assert desk.grays() == plain
    assert len([url for url in sent if "/predict" in url]) == answered == 2
    desk.stage.press("c")
    expect(mark).to_be_visible()
    desk.select("next.png")
    desk.wait_for_picture()
    expect(mark).to_have_count(0)
