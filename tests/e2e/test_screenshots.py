"""Pictures of every view for the documentation, of synthetic radiographs alone.

They are written where PNEUMO_SCREENSHOTS says, so that an ordinary run leaves the repository as it
is: ``PNEUMO_SCREENSHOTS=docs/screenshots pytest tests/e2e/test_screenshots.py``. With it, the
models that ship with the repository answer, where there are any.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import Watch
from tests.e2e.desk import Desk
from tests.e2e.images import chest_dicom, corrupt_jpeg, ct_dicom, pneumonia_png, undecided_png
from tests.e2e.services import REPOSITORY, Service
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
    *("result-desk-light.png", "result-phone-dark.png"),
    *("series-desk-dark.png", "viewer-desk-dark.png"),
    *("prove-blind-desk-dark.png", "prove-revealed-phone-dark.png", "prove-report-desk-light.png"),
}
SHIPPED = REPOSITORY / "models"


@pytest.fixture(scope="module")
def shipped_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(SHIPPED, tmp_path_factory.mktemp("shipped") / "log", {})
    running.start()
    yield running
    running.stop()


@pytest.fixture
def desk(tab: Page, watch: Watch, request: pytest.FixtureRequest) -> Desk:
    asked = "PNEUMO_SCREENSHOTS" in os.environ and any(SHIPPED.glob("*/*/manifest.json"))
    service: Service = request.getfixturevalue("shipped_service" if asked else "service")
    watch.origin = service.url
    return Desk(tab, service.url)


@pytest.fixture
def place(tmp_path: Path) -> Callable[[str], Path]:
    """Where a picture goes."""
    asked = os.environ.get("PNEUMO_SCREENSHOTS")

    def choose(name: str) -> Path:
        folder = Path(asked) if asked and name in DOCUMENTED else tmp_path
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


@pytest.mark.usefixtures("refusals_expected")
@pytest.mark.parametrize("name", list(SIZES))
def test_every_view_has_its_picture(desk: Desk, place: Callable[[str], Path], name: str) -> None:
    width, height, theme = SIZES[name]
    page = desk.page
    made: dict[str, Path] = {}

    def picture(view: str) -> None:
        desk.settle()
        made[view] = place(f"{view}-{name}.png")
        page.screenshot(path=made[view], full_page=width < 1000)

    page.set_viewport_size({"width": width, "height": height})
    desk.open()
    page.get_by_label("Colours").select_option(theme)
    picture("welcome")
    desk.read({"chest-1.dcm": chest_dicom()})
    desk.pick(batch())
    expect(page.locator(".tray-count")).to_contain_text("10 of 11 read")
    expect(page.locator(".thumbnail img").first).to_be_visible()
    picture("result")
    for view, seen in (("refer", ".decision.refer"), ("problem", ".problem")):
        step_to(desk, page.locator(seen))
        picture(view)
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("article").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    picture("models")
    article = page.get_by_role("article").last
    article.locator("summary").get_by_text("Plots", exact=True).click()
    plots = article.locator("button.plot")
    expect(plots.first).to_be_visible()
    reliability = plots.filter(has=page.get_by_alt_text("Reliability"))
    (reliability if reliability.count() else plots).first.click()
    expect(page.get_by_role("dialog").get_by_role("img")).to_be_visible()
    picture("plot")

    assert list(made) == ["welcome", "result", "refer", "problem", "models", "plot"]
    assert all(file.stat().st_size > LEAST_BYTES for file in made.values())


@pytest.mark.parametrize("name", ["desk-dark", "desk-light", "phone-dark"])
def test_a_trial_has_its_pictures(
    desk: Desk, place: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    width, height, theme = SIZES[name]
    page = desk.page
    page.set_viewport_size({"width": width, "height": height})
    films = tmp_path / "films"
    for finding, opacity in (("normal", 0.0), ("pneumonia", 0.9)):
        (films / finding).mkdir(parents=True)
        for seed in range(3):
            data = as_jpeg(synthetic_radiograph(320, 280, opacity, seed))
            (films / finding / f"{seed}.jpg").write_bytes(data)
    desk.open("#prove")
    page.locator(".choices select").first.select_option(theme)
    page.locator(".prove-setup input[webkitdirectory]").set_input_files(films)
    ready = page.locator(".prove-call:not([disabled])").first
    expect(ready).to_be_visible()
    made = [place(f"prove-{view}-{name}.png") for view in ("blind", "revealed", "report")]

    desk.settle()
    page.screenshot(path=made[0])
    for number in range(7):
        expect(ready).to_be_visible()
        page.keyboard.press("12"[number % 2])
        expect(page.locator(".prove-model")).not_to_contain_text("not here yet")
        if number == 0:
            page.screenshot(path=made[1])
        page.locator(".prove-side .primary").click()
        expect(page.locator(".prove-model")).to_have_count(0)
    expect(page.locator(".prove-report")).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=made[2])

    assert all(file.stat().st_size > LEAST_BYTES for file in made)


def test_the_viewer_is_pictured_as_it_opens(desk: Desk, place: Callable[[str], Path]) -> None:
    desk.open()
    desk.read({"chest.png": as_png(synthetic_radiograph(1024, 900, 0.9))})
    desk.settle()

    file = place("viewer-desk-dark.png")
    desk.page.screenshot(path=file)

    assert file.stat().st_size > LEAST_BYTES


def test_a_series_and_a_length_are_pictured(desk: Desk, place: Callable[[str], Path]) -> None:
    desk.open()
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
    box = desk.stage.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    desk.page.get_by_role("button", name="Ruler").click()
    desk.page.mouse.move(x - box["height"] * 0.15, y)
    desk.page.mouse.down()
    desk.page.mouse.move(x + box["height"] * 0.15, y, steps=4)
    desk.page.mouse.up()
    desk.settle()

    file = place("series-desk-dark.png")
    desk.page.screenshot(path=file)

    assert file.stat().st_size > LEAST_BYTES


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
