import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from service.errors import DeviceLost
from service.problems import error_response
from tests.e2e.desk import Desk, Held
from tests.e2e.images import chest_dicom, corrupt_jpeg, normal_jpeg, pneumonia_png
from tests.gateway import stack
from tests.gateway.stack import Service
from tests.synthetic import as_jpeg, synthetic_radiograph

BATCH_TIMEOUT_MS = 60_000
MANY = 300


def batch(count: int) -> dict[str, bytes]:
    kinds = [as_jpeg(synthetic_radiograph(96, 80, seed=seed)) for seed in range(3)]
    return {f"chest-{number:03}.jpg": kinds[number % 3] for number in range(count)}


@pytest.mark.usefixtures("refusals_expected")
def test_a_batch_of_forty_with_one_bad_file_is_read_to_its_end(desk: Desk) -> None:
    files = batch(39)

    desk.pick({**files, "zz-broken.jpg": corrupt_jpeg()})

    expect(desk.page.locator(".tray-count")).to_contain_text(
        "39 of 40 read", timeout=BATCH_TIMEOUT_MS
    )
    with desk.page.expect_download() as waiting:
        desk.page.get_by_role("button", name="Download CSV (40)").click()
    rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text("utf-8-sig"))))
    assert [row["file"] for row in rows] == [*files, "zz-broken.jpg"]
    assert {row["decision"] for row in rows[:39]} == {"normal"}
    assert all(float(row["probability_normal"]) > 0.9 for row in rows[:39])
    assert (rows[39]["status"], rows[39]["problem"]) == ("error", "corrupt-image")


def test_hundreds_of_studies_draw_a_screenful_of_rows(desk: Desk) -> None:
    held = Held(desk.page, "**/predict?*")
    desk.pick(batch(MANY))
    expect(desk.page.locator(".tray-count")).to_contain_text(f"of {MANY} read")

    desk.page.locator(".study-box").evaluate("(box) => { box.scrollTop = box.scrollHeight; }")

    expect(desk.row(f"chest-{MANY - 1:03}.jpg")).to_be_visible()
    assert len(desk.names()) < 30
    assert len(held.wait_for(4)) == 4


def test_a_folder_keeps_its_images_and_counts_the_rest(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    (folder / "series").mkdir(parents=True)
    (folder / "front").write_bytes(chest_dicom())
    (folder / "series" / "side.jpg").write_bytes(normal_jpeg())
    (folder / "notes.txt").write_text("no image")

    desk.page.locator("input[webkitdirectory]").first.set_input_files(folder)

    expect(desk.page.locator(".tray-count")).to_contain_text("2 of 2 read")
    expect(desk.page.locator(".notice p")).to_contain_text("1 file was left out")
    assert desk.row("side.jpg").get_by_role("button").first.get_attribute("title") == (
        "study/series/side.jpg"
    )


def test_files_dropped_on_the_models_page_are_read(desk: Desk) -> None:
    desk.open("#models")
    expect(desk.page.get_by_role("heading", name="bright-chest")).to_be_visible()

    desk.drop({"chest.jpg": normal_jpeg()})

    expect(desk.decision).to_have_text("Normal")
    assert desk.page.evaluate("() => location.hash") == "#read"


@pytest.mark.usefixtures("refusals_expected")
def test_a_study_can_be_cancelled_and_tried_again(desk: Desk) -> None:
    held = Held(desk.page, "**/predict?*")
    desk.pick({"chest.jpg": normal_jpeg()})

    desk.page.get_by_role("button", name="Cancel chest.jpg").click()
    expect(desk.row("chest.jpg")).to_contain_text("Cancelled")
    held.release()
    desk.page.get_by_role("button", name="Try chest.jpg again").click()

    expect(desk.decision).to_have_text("Normal")


@pytest.mark.usefixtures("refusals_expected")
def test_the_queue_outlives_a_service_that_goes_away(
    visit: Callable[[Service], Desk], models: Path, tmp_path: Path
) -> None:
    with stack.service(tmp_path, PNEUMO_MODELS_DIR=str(models)) as service:
        desk = visit(service).open()
        page = desk.page
        desk.read({"before.jpg": normal_jpeg()})
        service.stop()
        desk.pick({"during-1.jpg": normal_jpeg(1), "during-2.png": pneumonia_png()})
        expect(page.get_by_text("The service does not answer.")).to_be_visible()
        expect(page.get_by_text("No connection")).to_be_visible()
        expect(desk.row("during-1.jpg")).to_contain_text("Waiting")

        service.start()

        expect(desk.row("during-1.jpg")).to_contain_text("Normal", timeout=BATCH_TIMEOUT_MS)
        expect(desk.row("during-2.png")).to_contain_text("Pneumonia")
        expect(page.get_by_text("The service does not answer.")).to_be_hidden()


@pytest.mark.usefixtures("refusals_expected")
def test_a_service_that_hangs_is_noticed_and_what_it_held_is_sent_again(desk: Desk) -> None:
    held = Held(desk.page, "**/predict?*")
    desk.pick({"chest.jpg": normal_jpeg()})
    expect(desk.row("chest.jpg")).to_contain_text("Sending")

    health = Held(desk.page, "**/health")
    desk.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    expect(desk.row("chest.jpg")).to_contain_text("Waiting")
    expect(desk.page.get_by_text("No connection")).to_be_visible()
    held.release()
    health.release()

    expect(desk.decision).to_have_text("Normal")


@pytest.mark.usefixtures("refusals_expected")
def test_a_service_that_is_not_able_says_why_it_must_be_waited_for(desk: Desk) -> None:
    refused = 0

    def lost(route: Route) -> None:
        nonlocal refused
        refused += 1
        if refused > 1:
            route.continue_()
            return
        answer = error_response(DeviceLost(), "request")
        headers = {**dict(answer.headers), "Retry-After": "3"}
        route.fulfill(status=answer.status_code, headers=headers, body=bytes(answer.body))

    desk.page.route("**/predict?*", lost)

    desk.pick({"chest.jpg": normal_jpeg()})

    banner = desk.page.locator(".banner.wait")
    expect(banner).to_contain_text("The service has lost its accelerator.")
    expect(banner).to_contain_text("The next try is in")
    expect(desk.decision).to_have_text("Normal")


@pytest.mark.usefixtures("refusals_expected")
def test_an_overloaded_service_is_given_the_time_that_it_asks_for(desk: Desk) -> None:
    refused = 0

    def overloaded(route: Route) -> None:
        nonlocal refused
        refused += 1
        if refused > 4:
            route.continue_()
            return
        route.fulfill(
            status=429,
            headers={"Retry-After": "6", "Content-Type": "application/problem+json"},
            body='{"type": "/problems/queue-full", "title": "The queue is full", "status": 429}',
        )

    desk.page.route("**/predict?*", overloaded)

    desk.pick(batch(6))

    expect(desk.page.locator(".banner.wait")).to_contain_text(
        "The service has much to do. The next try is in"
    )
    expect(desk.page.locator(".tray-count")).to_contain_text(
        "6 of 6 read", timeout=BATCH_TIMEOUT_MS
    )
    expect(desk.page.locator(".banner.wait")).to_be_hidden()
