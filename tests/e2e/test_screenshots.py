"""Pictures of every view for the documentation, of synthetic radiographs alone.

They are written where PNEUMO_SCREENSHOTS says, so that an ordinary run leaves the repository as it
is: ``PNEUMO_SCREENSHOTS=docs/screenshots pytest tests/e2e/test_screenshots.py``. The models that
ship refer whatever is drawn, so they are pictured with a referral and the models page alone.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.desk import Desk
from tests.e2e.images import chest_dicom, corrupt_jpeg, ct_dicom, pneumonia_png, undecided_png
from tests.gateway.stack import Service
from tests.synthetic import as_jpeg, as_png, synthetic_radiograph

SIZES = {
    "desk-dark": (1280, 800, "dark"),
    "desk-light": (1280, 800, "light"),
    "phone-dark": (320, 640, "dark"),
    "phone-light": (320, 640, "light"),
    "wall-dark": (3840, 2160, "dark"),
}
LEAST_BYTES = 5_000
# What the documentation shows; a repository is no place for all of them.
DOCUMENTED = {
    *(
        f"{view}-desk-dark.png"
        for view in ("models", "plot", "problem", "refer", "result", "welcome")
    ),
    *("prior-desk-light.png", "refer-phone-light.png"),
    *("result-desk-light.png", "result-phone-dark.png"),
    *("series-desk-dark.png", "viewer-desk-dark.png"),
    *("prove-blind-desk-dark.png", "prove-revealed-phone-dark.png", "prove-report-desk-light.png"),
}
# The service refuses to start with a variable that it does not know.
ASKED = os.environ.pop("PNEUMO_SCREENSHOTS", None)


@pytest.fixture
def shipped(visit: Callable[[Service], Desk], shipped_service: Service) -> Desk:
    return visit(shipped_service)


@pytest.fixture
def place(tmp_path: Path) -> Callable[[str], Path]:
    """Where a picture goes."""

    def choose(name: str) -> Path:
        folder = Path(ASKED) if ASKED and name in DOCUMENTED else tmp_path
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    return choose


def batch() -> dict[str, bytes]:
    return {
        **{
            f"chest-{n}.jpg": as_jpeg(synthetic_radiograph(640, 560, n % 2, n)) for n in range(2, 8)
        },
        "overexposed.png": pneumonia_png(),
        "hazy.png": undecided_png(),
        "negative.png": as_png(255 - synthetic_radiograph(640, 560)),
        "cut-off.jpg": corrupt_jpeg(),
    }


class Camera:
    """Takes the pictures of one size, of the page's top or, on a phone, of all of it."""

    def __init__(self, desk: Desk, place: Callable[[str], Path], name: str) -> None:
        self._desk, self._place, self._name = desk, place, name
        width, height, self._theme = SIZES[name]
        self._is_phone = width < 1000
        desk.page.set_viewport_size({"width": width, "height": height})

    def open(self, where: str = "") -> None:
        self._desk.open(where)
        self._desk.page.locator(".choices select").first.select_option(self._theme)

    def take(self, view: str) -> None:
        page = self._desk.page
        expect(page.locator(".notice p")).to_have_count(0)
        self._desk.settle()
        page.evaluate("() => scrollTo(0, 0)")
        file = self._place(f"{view}-{self._name}.png")
        page.screenshot(path=file, full_page=self._is_phone)
        assert file.stat().st_size > LEAST_BYTES


@pytest.mark.usefixtures("refusals_expected")
@pytest.mark.parametrize("name", SIZES)
def test_every_view_has_its_picture(desk: Desk, place: Callable[[str], Path], name: str) -> None:
    page = desk.page
    camera = Camera(desk, place, name)

    camera.open()
    camera.take("welcome")
    desk.read({"chest-1.dcm": chest_dicom()})
    desk.pick(batch())
    expect(page.locator(".tray-count")).to_contain_text("10 of 11 read")
    expect(page.locator(".thumbnail img").first).to_be_visible()
    camera.take("result")
    page.get_by_role("button", name="Keep beside the next image").click()
    desk.select("chest-2.jpg")
    expect(page.locator(".prior canvas.picture")).to_be_visible()
    camera.take("prior")
    page.get_by_role("button", name="Close the prior").click()
    step_to(desk, page.locator(".problem"))
    camera.take("problem")


@pytest.mark.parametrize("name", SIZES)
def test_the_models_that_ship_have_their_pictures(
    shipped: Desk, place: Callable[[str], Path], name: str
) -> None:
    page = shipped.page
    camera = Camera(shipped, place, name)

    camera.open()
    shipped.read({"chest.png": as_png(synthetic_radiograph(640, 560, 1))})
    camera.take("refer")
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("article").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    camera.take("models")
    article = page.get_by_role("article").last
    article.locator("summary").get_by_text("Plots", exact=True).click()
    plot = article.get_by_role("button").filter(has=page.get_by_alt_text("Reliability")).first
    plot.click()
    expect(page.get_by_role("dialog").get_by_role("img")).to_be_visible()
    camera.take("plot")


@pytest.mark.parametrize("name", ["desk-dark", "desk-light", "phone-dark"])
def test_a_trial_has_its_pictures(
    desk: Desk, place: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    page = desk.page
    camera = Camera(desk, place, name)
    films = tmp_path / "films"
    for finding in ("normal", "pneumonia"):
        (films / finding).mkdir(parents=True)
        for seed in range(3):
            film = synthetic_radiograph(320, 280, 0.9, seed)
            # What the tests' model calls pneumonia is nearly white.
            shown = film if finding == "normal" else 200 + film // 5
            (films / finding / f"{seed}.jpg").write_bytes(as_jpeg(shown))
    camera.open("#prove")
    page.locator(".prove-setup input[webkitdirectory]").set_input_files(films)
    ready = page.locator(".prove-call:not([disabled])").first
    expect(ready).to_be_visible()

    camera.take("prove-blind")
    for number in range(7):
        expect(ready).to_be_visible()
        page.keyboard.press("12"[number % 2])
        expect(page.locator(".prove-model")).not_to_contain_text("not here yet")
        if number == 0:
            camera.take("prove-revealed")
        page.locator(".prove-side .primary").click()
        expect(page.locator(".prove-model")).to_have_count(0)
    expect(page.locator(".prove-report")).to_be_visible()
    page.wait_for_load_state("networkidle")
    camera.take("prove-report")


def test_the_viewer_is_pictured_as_it_opens(desk: Desk, place: Callable[[str], Path]) -> None:
    desk.read({"chest.png": as_png(synthetic_radiograph(1024, 900, 0.9))})

    Camera(desk, place, "desk-dark").take("viewer")


def test_a_series_and_a_length_are_pictured(desk: Desk, place: Callable[[str], Path]) -> None:
    desk.read(
        {
            f"slice-{number}.dcm": ct_dicom(
                SeriesInstanceUID="1.2", InstanceNumber=number, PixelSpacing=[0.7, 0.7]
            )
            for number in range(1, 6)
        }
    )
    expect(desk.page.locator(".tray-count")).to_contain_text("5 of 5 read")
    desk.select("slice-3.dcm")
    desk.wait_for_picture()
    expect(desk.page.get_by_text("Slice 3 of 5")).to_be_visible()
    desk.page.get_by_role("button", name="Ruler").click()
    desk.drag(110, 0)

    Camera(desk, place, "desk-dark").take("series")


def step_to(desk: Desk, seen: Locator) -> None:
    """Go down the tray until something is seen, or to its end."""
    desk.page.locator(".study-select[aria-current=true]").focus()
    for _ in range(11):
        if seen.is_visible():
            break
        desk.page.keyboard.press("ArrowDown")
        desk.settle()
    expect(desk.page.locator(".stage[aria-busy=false]")).to_be_visible()
    desk.settle()
