"""What people know from other readers of images, and miss where it is not there."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, Route, expect

from tests.e2e.answers import change_answers, check
from tests.e2e.desk import Desk, Held
from tests.e2e.images import (
    chest_dicom,
    corrupt_jpeg,
    ct_dicom,
    normal_jpeg,
    pneumonia_png,
    undecided_png,
)
from tests.synthetic import as_jpeg, synthetic_radiograph

MIXED = {
    "b-10.jpg": normal_jpeg(),
    "b-9.png": pneumonia_png(),
    "a.png": undecided_png(),
    "c.jpg": corrupt_jpeg(),
    "d.txt": b"no image",
}


def chips(desk: Desk) -> list[str]:
    return desk.page.locator(".chip").all_inner_texts()


@pytest.fixture
def mixed(desk: Desk, refusals_expected: None) -> Desk:
    desk.pick(MIXED)
    expect(desk.page.locator(".tray-count")).to_contain_text("3 of 5 read")
    expect(desk.page.locator(".study-state.bad")).to_have_count(2)
    return desk


def test_the_worklist_counts_filters_orders_and_names_the_model_that_answered(mixed: Desk) -> None:
    assert chips(mixed) == [
        "All 5",
        "Refer to a reader 1",
        "Could not be read 2",
        "Pneumonia 1",
        "Normal 1",
    ]

    mixed.page.get_by_label("Order").select_option("refer")
    referred_first = list(mixed.names())
    mixed.page.get_by_label("Order").select_option("name")
    by_name = list(mixed.names())
    mixed.page.get_by_role("button", name="Could not be read 2").click()
    failed = list(mixed.names())

    assert referred_first == ["a.png", "c.jpg", "d.txt", "b-9.png", "b-10.jpg"]
    assert by_name == ["a.png", "b-9.png", "b-10.jpg", "c.jpg", "d.txt"]
    assert failed == ["c.jpg", "d.txt"]
    mixed.page.get_by_role("button", name="All 5").click()
    expect(mixed.row("b-9.png").locator(".study-model")).to_have_text("bright-chest")


def test_failures_are_summed_up_and_what_cannot_succeed_is_not_tried_again(mixed: Desk) -> None:
    mixed.page.get_by_text("3 read, 2 failed: why").click()

    expect(mixed.page.locator(".failed-why li")).to_have_text(
        ["1 \u00d7 The image is damaged or cut off.", "1 \u00d7 The file is not an image."]
    )
    mixed.select("c.jpg")
    expect(mixed.result.locator(".problem")).to_be_visible()
    expect(mixed.page.get_by_role("button", name="again")).to_have_count(0)


def test_remove_all_can_be_undone(mixed: Desk) -> None:
    mixed.page.get_by_role("button", name="Remove all").click()
    expect(mixed.page.get_by_role("heading", name="Drop a chest image here")).to_be_visible()

    mixed.page.get_by_role("button", name="Undo: bring 5 images back").click()

    expect(mixed.page.locator(".tray-count")).to_contain_text("3 of 5 read")
    expect(mixed.row("b-9.png").locator("img")).to_be_visible()


def test_leaving_with_results_asks_and_an_empty_page_does_not(desk: Desk) -> None:
    asked: list[str] = []

    def on_dialog(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    desk.page.on("dialog", on_dialog)
    desk.page.get_by_role("heading").first.click()
    desk.page.reload()
    without = list(asked)

    desk.read({"chest.jpg": normal_jpeg()})
    desk.stage.click()
    desk.page.reload()

    assert (without, asked) == ([], ["beforeunload"])


def test_the_toast_goes_soon_counts_truly_and_covers_no_caveat(desk: Desk) -> None:
    Held(desk.page, "**/predict?*")

    desk.pick({"chest.jpg": normal_jpeg(), "notes.txt": b"no image"})

    notice = desk.page.locator(".notice p")
    expect(notice).to_have_text("2 images added. 1 of them does not look like an image.")
    box = notice.bounding_box()
    covered = desk.page.evaluate(
        """box => [...document.querySelectorAll('.research, .decision, .heat, .grounds')]
            .map(one => one.getBoundingClientRect())
            .filter(other => other.width && other.x < box.x + box.width
                && other.right > box.x && other.y < box.y + box.height && other.bottom > box.y)
            .length""",
        box,
    )
    assert covered == 0
    expect(notice).to_have_count(0, timeout=5_000)


def test_a_drawn_example_and_the_api_are_one_click_away(desk: Desk) -> None:
    expect(desk.page.get_by_role("link", name="the API")).to_have_attribute("href", "docs")

    desk.page.get_by_role("button", name="Try a drawn example").click()

    expect(desk.decision).to_be_visible()
    expect(desk.row("drawn-example.jpg")).to_be_visible()


@pytest.mark.usefixtures("refusals_expected")
def test_a_full_queue_gets_fewer_at_a_time_and_not_none(desk: Desk) -> None:
    under_way: list[Route] = []
    most: list[int] = []

    def on_predict(route: Route) -> None:
        under_way.append(route)
        most.append(len(under_way))
        if len(most) in (3, 4):
            under_way.remove(route)
            route.fulfill(status=429, headers={"Retry-After": "60"}, body="{}")

    desk.page.route("**/predict?*", on_predict)
    files = {
        f"{number}.jpg": as_jpeg(synthetic_radiograph(96, 80, seed=number)) for number in range(6)
    }
    desk.pick(files)
    expect(desk.page.locator(".banner.wait")).to_be_visible()

    for _ in range(6):
        desk.page.wait_for_timeout(50)
        while not under_way:
            desk.page.wait_for_timeout(50)
        under_way.pop(0).continue_()

    expect(desk.page.locator(".tray-count")).to_contain_text("6 of 6 read")


def test_the_wheel_turns_the_frames_of_a_stack_and_any_of_them_can_be_read(desk: Desk) -> None:
    desk.read({"series.dcm": ct_dicom(frames=3)})
    expect(desk.page.get_by_text("Frame 1 of 3")).to_be_visible()
    zoom = desk.page.locator(".readout").inner_text()
    first = sum(gray > 200 for gray in desk.grays())

    desk.stage.hover()
    desk.page.mouse.wheel(0, 120)
    expect(desk.page.get_by_text("Frame 2 of 3")).to_be_visible()
    desk.page.mouse.wheel(0, -120)
    expect(desk.page.get_by_text("Frame 1 of 3")).to_be_visible()
    turned = desk.page.locator(".readout").inner_text()
    desk.page.get_by_label(re.compile("Frame 1 of 3")).fill("3")
    desk.page.get_by_role("button", name="Read this frame").click()

    expect(desk.page.get_by_text("Frame 3 was read")).to_be_visible()
    assert turned == zoom
    assert sum(gray > 200 for gray in desk.grays()) > first > 0


def test_the_files_of_a_series_stand_together_and_the_wheel_turns_them(desk: Desk) -> None:
    series = {
        f"{letter}.dcm": ct_dicom(SeriesInstanceUID="1.2.3", InstanceNumber=number)
        for letter, number in (("a", 3), ("b", 1), ("c", 2))
    }
    desk.read({"film.jpg": normal_jpeg(), **series})
    expect(desk.row("c.dcm")).to_contain_text("bright-slice · 2 of 3")
    assert list(desk.names()) == ["film.jpg", "b.dcm", "c.dcm", "a.dcm"]
    desk.select("b.dcm")
    desk.wait_for_picture()
    expect(desk.page.get_by_text("Slice 1 of 3")).to_be_visible()
    desk.stage.press("Shift+ArrowRight")
    desk.stage.press("1")
    readout = desk.page.locator(".readout")
    as_set = readout.inner_text()

    desk.stage.hover()
    for _ in range(2):
        desk.page.mouse.wheel(0, 120)
    expect(desk.page.get_by_text("Slice 3 of 3")).to_be_visible()
    expect(desk.row("a.dcm").locator(".study-select")).to_have_attribute("aria-current", "true")
    expect(desk.page.locator(".stage[aria-busy=false]")).to_be_visible()

    assert readout.inner_text() == as_set


def test_the_slices_of_a_series_are_read_as_one_when_asked_for(desk: Desk) -> None:
    slices = {
        f"doe-{number}.dcm": ct_dicom(SeriesInstanceUID="1.2.3", InstanceNumber=number)
        for number in (1, 2)
    }
    desk.read({"film.jpg": normal_jpeg(), **slices})
    as_one = desk.result.get_by_role("button", name="Read the 2 slices as one series")
    expect(as_one).to_have_count(0)
    desk.select("doe-2.dcm")

    with desk.page.expect_request("**/predict?*") as asked:
        as_one.click()

    said = desk.result.locator(".series")
    expect(said).to_contain_text("What the model sees in the series")
    expect(said).to_contain_text(re.compile(r"Normal 9\d\.\d%"))
    expect(said).to_contain_text("The mean of the probabilities of 2 of 2 slices.")
    expect(said).to_contain_text("Research only. Not for diagnosis.")
    assert b"doe" not in (asked.value.post_data_buffer or b"")
    desk.select("doe-1.dcm")
    expect(said).to_contain_text("The mean of the probabilities of 2 of 2 slices.")
    desk.select("film.jpg")
    expect(said).to_have_count(0)
    with desk.page.expect_download() as table:
        desk.page.get_by_role("button", name="Download CSV (4)").click()
    rows = list(csv.DictReader(io.StringIO(Path(table.value.path()).read_text("utf-8-sig"))))
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "series"]
    assert (rows[3]["file"], rows[3]["decision"], rows[3]["series_slices"]) == (
        *("doe-1.dcm", "normal", "2"),
    )
    assert {row["intended_use"] for row in rows} == {"Research only. Not for diagnosis."}
    desk.row("doe-1.dcm").get_by_role("button", name="Remove doe-1.dcm").click()
    expect(desk.page.get_by_role("button", name="Download CSV (2)")).to_be_visible()


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "20 mm"),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, "20 mm at the detector"),
        ({"PixelSpacing": []}, "100 px"),
    ],
)
def test_the_ruler_measures_in_the_unit_that_the_file_gives(
    desk: Desk, attributes: dict[str, object], words: str
) -> None:
    desk.read({"chest.dcm": chest_dicom(**attributes)})
    desk.stage.press("1")
    desk.page.get_by_role("button", name="Ruler").click()

    desk.drag(60, 80)

    expect(desk.page.locator("svg.ruler text")).to_have_text(words)


def test_two_clicks_or_the_keyboard_measure_as_well_as_a_drag(desk: Desk) -> None:
    desk.read({"chest.dcm": chest_dicom()})
    length = desk.page.locator("svg.ruler text")
    desk.stage.press("1")
    desk.stage.press("d")

    desk.stage.click(position={"x": 100, "y": 100})
    desk.stage.click(position={"x": 160, "y": 180})
    expect(length).to_have_text("20 mm")
    desk.stage.press("r")
    desk.stage.press("1")
    expect(length).to_have_count(0)
    for _ in range(10):
        desk.stage.press("ArrowRight")

    expect(length).to_have_text("12 mm")


def kept_databases(page: Page) -> list[str]:
    names: list[str] = page.evaluate(
        "async () => (await indexedDB.databases()).map(each => each.name)"
    )
    return names


def test_results_are_kept_on_request_until_they_are_removed_or_one_button_erases_them(
    desk: Desk,
) -> None:
    page = desk.page
    desk.read({"white.png": pneumonia_png(), "chest.jpg": normal_jpeg()})
    expect(page.locator(".tray-count")).to_contain_text("2 of 2 read")
    assert kept_databases(page) == []

    page.get_by_role("button", name="Keep results in this browser").click()
    expect(page.locator(".kept-results")).to_contain_text("images are not")
    page.reload()

    expect(page.locator(".tray-count")).to_contain_text("2 of 2 read")
    expect(desk.row("white.png")).to_contain_text("Pneumonia > 99.9%")
    expect(desk.decision).to_have_text("Pneumonia")
    expect(desk.stage).to_contain_text("Only the result of this image was kept.")
    expect(desk.result.locator(".bar-heat")).to_have_count(0)
    desk.pick({"white.png": pneumonia_png()})
    desk.wait_for_picture()
    expect(page.locator(".study")).to_have_count(2)
    page.get_by_role("button", name="Remove all").click()
    expect(page.get_by_role("button", name="Erase what is kept")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Erase what is kept")).to_be_visible()
    expect(page.locator(".study")).to_have_count(0)
    desk.read({"white.png": pneumonia_png()})
    page.get_by_role("button", name="Erase what is kept").click()
    expect(page.get_by_role("button", name="Keep results in this browser")).to_be_visible()
    assert kept_databases(page) == []


def test_the_viewer_has_half_of_the_window_more_without_its_neighbours_and_all_by_f(
    desk: Desk,
) -> None:
    desk.page.set_viewport_size({"width": 1280, "height": 720})
    desk.read({"chest.jpg": normal_jpeg()})
    full = "() => document.fullscreenElement?.className ?? ''"
    box = desk.stage.bounding_box()

    desk.page.get_by_role("button", name="Hide the list").click()
    desk.page.get_by_role("button", name="Hide the result").click()
    alone = desk.stage.bounding_box()
    desk.stage.press("f")
    desk.page.wait_for_function(f"() => ({full})() !== ''")
    shown = desk.page.evaluate(full)
    desk.stage.press("f")

    desk.page.wait_for_function(f"() => ({full})() === ''")
    assert "viewer" in shown
    assert box is not None
    assert alone is not None
    assert box["width"] * box["height"] >= 0.45 * 1280 * 720
    assert alone["width"] > 1200


def fingers(page: Page) -> Callable[..., None]:
    """What puts fingers on the screen, moves and lifts them."""
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        spots = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    return touch


def test_on_a_phone_one_finger_scrolls_and_two_window(desk: Desk) -> None:
    page = desk.page
    page.set_viewport_size({"width": 360, "height": 640})
    desk.read({"chest.jpg": normal_jpeg()})
    readout = page.locator(".readout span").last
    opened = readout.inner_text()
    desk.stage.scroll_into_view_if_needed()
    box = desk.stage.bounding_box()
    assert box is not None
    x, y = box["x"] + 120, box["y"] + 120
    touch = fingers(page)

    touch("touchStart", (x, y))
    for step in range(1, 6):
        touch("touchMove", (x, y - 12 * step))
    touch("touchEnd")
    after_one = readout.inner_text()
    scrolled = page.evaluate("() => scrollY")
    desk.stage.scroll_into_view_if_needed()
    page.wait_for_timeout(700)
    box = desk.stage.bounding_box()
    assert box is not None
    x, y = box["x"] + 120, box["y"] + 120
    touch("touchStart", (x, y), (x + 60, y))
    for step in range(1, 6):
        touch("touchMove", (x + 15 * step, y), (x + 60 + 15 * step, y))
    touch("touchEnd")
    desk.settle()

    assert after_one == opened
    assert scrolled > 0
    assert readout.inner_text() != opened


def test_the_batch_goes_along_as_csv_and_json_with_all_that_was_answered(desk: Desk) -> None:
    change_answers(
        desk.page,
        {
            "quality": {"accepted": True, "checks": [check("noise", 0.2, None, 0.475)]},
            "out_of_distribution": {"score": 1.5, "limit": 4.2, "accepted": True},
        },
    )
    desk.read({"one.jpg": normal_jpeg(), "two.png": pneumonia_png()})
    expect(desk.page.locator(".tray-count")).to_contain_text("2 of 2 read")
    expect(desk.page.get_by_text("File names are in it")).to_be_visible()

    with desk.page.expect_download() as table:
        desk.page.get_by_role("button", name="Download CSV (2)").click()
    with desk.page.expect_download() as tree:
        desk.page.get_by_role("button", name="Download JSON (2)").click()

    rows = list(csv.DictReader(io.StringIO(Path(table.value.path()).read_text("utf-8-sig"))))
    answers = json.loads(Path(tree.value.path()).read_text())
    assert rows[0]["quality_noise"] == "0.2"
    assert (rows[0]["ood_score"], rows[0]["ood_limit"], rows[0]["precision"]) == (
        *("1.5", "4.2", "fp32"),
    )
    assert [answer["file"] for answer in answers] == ["one.jpg", "two.png"]
    assert answers[1]["answer"]["results"][0]["decision"] == "pneumonia"


def test_a_batch_is_printed_as_one_list(mixed: Desk) -> None:
    page = mixed.page
    page.evaluate("() => { window.print = () => {}; }")

    page.get_by_role("button", name="Print the list (5)").click()
    page.emulate_media(media="print")

    rows = page.locator(".print-list tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.nth(1)).to_contain_text("Pneumonia > 99.9%")
    expect(page.locator(".print-list .print-research")).to_be_visible()
    expect(page.locator("canvas.picture")).to_be_hidden()


def test_models_are_compared_on_one_screen_and_the_rest_is_folded(desk: Desk) -> None:
    desk.open("#models")
    table = desk.page.locator(".comparison")
    expect(table.get_by_role("rowheader")).to_have_text(["bright-chest", "bright-slice"])
    expect(table.locator("svg.interval")).to_have_count(2)
    expect(table).to_contain_text("0.900 \u2013 1.000")
    compared = table.bounding_box()
    height = desk.page.evaluate("() => document.querySelector('main.models').scrollHeight")

    article = desk.page.get_by_role("article", name="bright-chest")
    article.get_by_text("Plots").click()
    article.get_by_role("button", name=re.compile("ROC")).click()

    assert compared is not None
    assert compared["y"] + compared["height"] < 800
    assert height < 2_000
    dialog = desk.page.get_by_role("dialog", name="ROC curve")
    expect(dialog.get_by_role("img")).to_be_visible()
    assert dialog.evaluate("one => one.scrollHeight - one.clientHeight") <= 1
    assert "invert" in dialog.get_by_role("img").evaluate("one => getComputedStyle(one).filter")


def test_a_prior_stays_beside_the_next_image_with_one_window(desk: Desk) -> None:
    desk.read({"before.jpg": normal_jpeg(), "after.jpg": normal_jpeg(1)})
    desk.page.get_by_role("button", name="Keep beside the next image").click()
    expect(desk.page.locator(".prior")).to_have_count(0)

    desk.select("after.jpg")
    prior = desk.page.locator(".prior")
    expect(prior.locator(".prior-name")).to_have_text("Prior: before.jpg")
    expect(prior.locator("canvas.picture")).to_be_visible()
    readouts = desk.page.locator(".readout span:last-child")
    expect(readouts).to_have_text(["C 128 W 256", "C 128 W 256"])
    desk.stage.first.press("Shift+ArrowRight")
    expect(readouts.first).not_to_have_text("C 128 W 256")
    linked = readouts.all_inner_texts()
    prior.get_by_role("button", name="Close the prior").click()

    expect(prior).to_have_count(0)
    assert linked[0] == linked[1]
