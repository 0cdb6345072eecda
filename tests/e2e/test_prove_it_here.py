"""A blind trial on a reader's own films, from the folder to the report."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from playwright.sync_api import FilePayload, Page, Route, expect

from commissioning.labels import read_labels
from tests.e2e.axe import Tour
from tests.e2e.desk import Desk, Held, settle
from tests.e2e.images import PATIENT_NAME, chest_dicom
from tests.synthetic import as_jpeg, as_png, synthetic_radiograph

TRIAL_TIMEOUT_MS = 60_000
NORMAL, PNEUMONIA, UNDECIDED = "1", "2", "0"
PAUSE_MS = 20 * 60_000
FIGURES = (
    *("Normal: Sensitivity", "Normal: Specificity", "Pneumonia: How often the call was right here"),
    *("Right where decided", "Not decided", "AUROC of the model", "Cohen's kappa"),
    *("You at the second look, the same call", "Median time for a film"),
)


def film(seed: int, *, white: bool, rows: int = 64) -> bytes:
    """A small film that the tests' model calls pneumonia where it is white."""
    if not white:
        return as_jpeg(synthetic_radiograph(64, 56, seed=seed))
    pixels = np.full((rows, 56), 250, np.uint8)
    pixels[seed % 60, seed // 60] = 0
    return as_png(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Films in folders that are named after their findings."""

    def make(normal: int, pneumonia: int, rows: int = 64) -> Path:
        root = tmp_path / "my films"
        for name, count in (("normal", normal), ("pneumonia", pneumonia)):
            (root / name).mkdir(parents=True, exist_ok=True)
            for seed in range(count):
                data = film(seed, white=name == "pneumonia", rows=rows)
                (root / name / f"{seed:04}.img").write_bytes(data)
        return root

    return make


def drop_folder(page: Page, root: Path) -> None:
    page.locator(".prove-setup input[webkitdirectory]").set_input_files(root)


def begin(desk: Desk, root: Path) -> Page:
    page = desk.page
    desk.open("#prove")
    expect(page.get_by_label("Model on trial")).to_have_value("bright-chest")
    drop_folder(page, root)
    wait_for_film(page)
    return page


def wait_for_film(page: Page, words: str = "Film 1 of") -> None:
    """Wait until a film can be called, which it can only once it is seen."""
    expect(page.locator(".prove-place")).to_contain_text(words, timeout=TRIAL_TIMEOUT_MS)
    expect(page.locator(".prove-call").first).to_be_enabled(timeout=TRIAL_TIMEOUT_MS)


def stored(page: Page) -> list[dict[str, object]]:
    """All that the browser keeps of a trial."""
    kept: list[dict[str, object]] = page.evaluate(
        """async () => {
            const open = indexedDB.open('pneumoscope-trial');
            await new Promise(done => { open.onsuccess = done; });
            const all = open.result.transaction('kept').objectStore('kept').getAll();
            await new Promise(done => { all.onsuccess = done; });
            open.result.close();
            return all.result;
        }"""
    )
    return kept


def is_white(page: Page) -> bool:
    """What a reader sees of the tests' films."""
    expect(page.locator(".stage[aria-busy=false]")).to_be_visible()
    settle(page)
    mean: float = page.evaluate(
        """() => {
            const canvas = document.querySelector('.prove canvas.picture');
            const copy = new OffscreenCanvas(16, 16).getContext('2d');
            const { width, height } = canvas;
            copy.drawImage(canvas, width * .35, height * .3, width * .3, height * .4, 0, 0, 16, 16);
            const { data } = copy.getImageData(0, 0, 16, 16);
            let sum = 0;
            for (let at = 0; at < data.length; at += 4) sum += data[at];
            return sum / 256;
        }"""
    )
    return mean > 200


def call_all(page: Page, wrong_at: int | None = None) -> int:
    """Call every film as it is by key, but one."""
    calls = 0
    while page.locator(".prove-place").is_visible():
        expect(page.locator(".prove-call").first).to_be_enabled()
        white = is_white(page) != (calls == wrong_at)
        page.keyboard.press(PNEUMONIA if white else NORMAL)
        expect(page.locator(".prove-model")).not_to_have_text(
            re.compile("not here yet"), timeout=TRIAL_TIMEOUT_MS
        )
        calls += 1
        page.keyboard.press("Enter")
        expect(page.locator(".prove-model")).to_have_count(0)
    return calls


def test_a_trial_is_called_by_keys_alone_and_ends_in_a_report(
    desk: Desk, folder: Callable[..., Path]
) -> None:
    page = desk.page
    root = folder(6, 6, rows=60)
    page.on("filechooser", lambda chooser: chooser.set_files(root))
    desk.open("#prove")
    expect(page.get_by_label("Model on trial")).to_have_value("bright-chest")
    desk.tab_to(".prove-setup .button.primary")
    page.keyboard.press("Enter")
    wait_for_film(page)

    calls = call_all(page, wrong_at=2)

    assert calls == 13
    report = page.locator(".prove-report")
    expect(report.get_by_role("heading", level=1)).to_have_text("Report of a blind local trial")
    expect(report.locator(".prove-sentence")).to_have_text(
        "24 more of “Normal” and 24 more of “Pneumonia” needed before there is a verdict."
    )
    model = report.get_by_role("table", name="Model: what is true")
    expect(model.get_by_role("row", name="Normal 6 0 0")).to_be_visible()
    expect(model.get_by_role("row", name="Pneumonia 0 6 0")).to_be_visible()
    for figure in FIGURES:
        expect(report.get_by_role("rowheader", name=figure)).to_be_visible()
    expect(report).to_contain_text("from folders")
    expect(report.locator(".prove-shortcuts li")).to_have_text(
        "Size in pixels100% right, by chance 50%suspect"
    )


def test_a_pause_hides_the_film_takes_no_call_and_does_not_count(
    closed: Desk, folder: Callable[..., Path]
) -> None:
    closed.page.clock.install()
    page = begin(closed, folder(1, 1))

    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused. The time does not run.")).to_be_visible()
    expect(page.locator("canvas.picture")).to_be_hidden()
    page.keyboard.press(NORMAL)
    page.clock.fast_forward("20:00")
    page.get_by_role("button", name="Go on").click()
    wait_for_film(page)
    page.keyboard.press(NORMAL)
    expect(page.locator(".prove-model")).to_be_visible()

    [call] = [one for one in stored(page) if "ms" in one]
    assert 0 < cast("int", call["ms"]) < PAUSE_MS


def test_the_model_is_nowhere_in_the_page_before_the_call(
    desk: Desk, folder: Callable[..., Path]
) -> None:
    answered: list[str] = []
    desk.page.on("response", lambda response: answered.append(response.url))
    page = begin(desk, folder(2, 2))
    page.wait_for_function(
        "() => performance.getEntriesByType('resource').filter(e => e.name.includes('predict')"
        " && e.responseEnd > 0).length >= 4"
    )
    shown = page.locator("main.prove").inner_html()
    said = {word for word in ("normal/", "pneumonia/", "0000.img", "99.9") if word in shown}

    expect(page.locator(".prove-model")).to_have_count(0)
    assert said == set()
    assert len([url for url in answered if "/predict" in url]) == 4
    page.keyboard.press(UNDECIDED)
    expect(page.locator(".prove-model")).to_have_text(re.compile("Normal|Pneumonia"))
    expect(page.locator(".prove-revealed")).to_contain_text("You disagree")


def test_an_answer_that_comes_after_the_call_is_shown(
    desk: Desk, folder: Callable[..., Path]
) -> None:
    held = Held(desk.page, "**/predict?*")
    page = begin(desk, folder(1, 1))
    page.keyboard.press(UNDECIDED)
    expect(page.locator(".prove-model")).to_have_text("The model's answer is not here yet.")

    held.release()

    expect(page.locator(".prove-model")).to_have_text(re.compile("Normal|Pneumonia"))


def test_a_trial_goes_on_after_a_reload_with_the_same_films_until_it_is_erased(
    desk: Desk, folder: Callable[..., Path]
) -> None:
    root = folder(3, 3)
    page = begin(desk, root)
    page.keyboard.press(UNDECIDED)
    expect(page.locator(".prove-model")).to_be_visible()
    page.get_by_label("Why?").select_option("quality")
    page.get_by_role("button", name="Next film").click()
    expect(page.locator(".prove-place")).to_contain_text("Film 2 of 7")

    page.reload()
    expect(page.locator(".prove-kept")).to_contain_text("6 films, 1 call.")
    kept = str(stored(page))
    drop_folder(page, root)

    expect(page.locator(".prove-place")).to_contain_text("Film 2 of 7", timeout=TRIAL_TIMEOUT_MS)
    assert "quality" in kept
    assert ".img" not in kept
    assert "my films" not in kept
    page.get_by_role("button", name="Stop and see the report").click()
    page.get_by_role("button", name="Erase the trial").click()
    page.get_by_role("button", name="Erase all calls for good").click()
    expect(page.get_by_role("heading", name="Prove it here")).to_be_visible()
    expect(page.locator(".prove-steps")).to_be_visible()
    assert page.evaluate("async () => (await indexedDB.databases()).length") == 0


def test_labels_are_those_of_commissioning_and_name_no_patient(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "site"
    for finding, age in (("normal", "061Y"), ("pneumonia", "034Y")):
        (root / finding).mkdir(parents=True)
        (root / finding / "a.dcm").write_bytes(
            chest_dicom(
                PatientAge=age, PatientSex="F", Manufacturer="Maker", InstanceNumber=len(finding)
            )
        )
    page = begin(desk, root)
    for _ in range(2):
        expect(page.locator(".prove-call").first).to_be_enabled()
        page.keyboard.press(NORMAL)
        page.get_by_role("button", name="Next film").click()

    expect(page.get_by_text("a path may name a patient")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download labels.csv").click()

    taken = read_labels(root, Path(waiting.value.path()), ("normal", "pneumonia"))
    text = Path(waiting.value.path()).read_bytes().decode("utf-8")
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(text))}
    assert text.startswith("path,finding,patient,view,age,sex,device\r\n")
    assert set(rows) == {"normal/a.dcm", "pneumonia/a.dcm"}
    row = rows["pneumonia/a.dcm"]
    assert (row["finding"], row["view"], row["age"]) == ("pneumonia", "PA", "34")
    assert (row["sex"], row["device"]) == ("F", "Maker")
    assert re.fullmatch("[0-9a-f]{12}", row["patient"])
    assert (len(taken), taken.findings) == (2, ("normal", "pneumonia"))
    assert PATIENT_NAME not in text


def test_a_table_tells_the_truth_and_a_second_reader_can_too(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "plain"
    root.mkdir()
    for seed in range(4):
        (root / f"{seed}.img").write_bytes(film(seed, white=seed > 1))
    table = "path;finding\r\n0.img;normal\r\n1.img;normal\r\n2.img;pneumonia\r\n3.img;neumonia\r\n"
    page = desk.page
    desk.open("#prove")
    page.locator("input[accept*=csv]").set_input_files(
        FilePayload(name="truth.csv", mimeType="text/csv", buffer=table.encode())
    )
    expect(page.get_by_text("4 rows taken.")).to_be_visible()
    drop_folder(page, root)
    expect(page.locator(".prove-place")).to_be_visible(timeout=TRIAL_TIMEOUT_MS)
    call_all(page)
    model = page.get_by_role("table", name="Model: what is true")
    expect(model.get_by_role("row", name="Pneumonia 0 2 0")).to_be_visible()

    page.get_by_role("button", name="Let a second reader call the films").click()
    expect(page.locator(".prove-place")).to_contain_text("Second reader")
    call_all(page)

    expect(page.locator(".prove-report")).to_contain_text("the calls of a second reader")


def test_a_fit_model_is_called_fit_on_two_pages(desk: Desk, folder: Callable[..., Path]) -> None:
    page = begin(desk, folder(34, 34))

    call_all(page, wrong_at=5)

    expect(page.locator(".prove-sentence")).to_have_text(
        "Fit to answer for patients like these: AUROC 1, right in 100% of what it answers."
    )
    expect(page.get_by_role("heading", name=re.compile(r"Disagreements \(1\)"))).to_be_visible()
    expect(page.locator(".prove-thumbnail img")).to_be_visible()
    expect(page.locator(".prove-shortcuts")).to_contain_text("do not differ")
    document = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", document)) == 2
    page.get_by_role("button", name="Open film 1 in the viewer").click()
    expect(desk.decision).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(360, 640), (1280, 800)])
def test_no_step_of_a_trial_breaks_an_accessibility_rule_or_needs_scrolling_sideways(
    desk: Desk, folder: Callable[..., Path], width: int, height: int
) -> None:
    page = desk.page
    page.set_viewport_size({"width": width, "height": height})
    root = folder(1, 1)
    tour = Tour(page)

    def call(reader: str) -> None:
        wait_for_film(page)
        tour.look(f"{reader}, blind")
        page.get_by_role("button", name="Pause").click()
        tour.look(f"{reader}, paused")
        page.get_by_role("button", name="Go on").click()
        page.locator(".prove-call").last.click()
        expect(page.locator(".prove-model")).to_have_text(re.compile("Normal|Pneumonia"))
        tour.look(f"{reader}, revealed")
        page.get_by_role("button", name="Next film").click()
        wait_for_film(page, "Film 2 of")
        page.locator(".prove-call").first.click()
        page.get_by_role("button", name="Next film").click()
        expect(page.locator(".prove-thumbnail img").first).to_be_visible()
        tour.look(f"{reader}, report")

    desk.open("#prove")
    tour.look("setup")
    page.locator("input[accept*=csv]").set_input_files(
        FilePayload(name="truth.csv", mimeType="text/csv", buffer=b"no table")
    )
    expect(page.get_by_text("This file names no columns")).to_be_visible()
    tour.look("a table refused")
    drop_folder(page, root)
    wait_for_film(page)
    box = page.locator(".prove-call").last.bounding_box()
    call("first reader")
    page.get_by_role("button", name="Let a second reader call the films").click()
    call("second reader")
    page.reload()
    expect(page.locator(".prove-kept")).to_be_visible()
    tour.look("kept")

    assert tour.wrong == []
    assert box is not None
    assert box["y"] + box["height"] <= height


def test_a_trial_speaks_spanish(desk: Desk, folder: Callable[..., Path]) -> None:
    page = desk.page
    desk.open("#prove")
    page.locator(".choices select").last.select_option("es")
    drop_folder(page, folder(1, 1))
    expect(page.locator(".prove-place")).to_contain_text("Imagen 1 de 2", timeout=TRIAL_TIMEOUT_MS)
    expect(page.locator(".prove-call").first).to_be_enabled(timeout=TRIAL_TIMEOUT_MS)

    page.keyboard.press(UNDECIDED)
    page.get_by_role("button", name="Parar y ver el informe").click()

    expect(page.locator(".prove-sentence")).to_contain_text("hacen falta")


def test_a_thousand_films_do_not_slow_the_page(desk: Desk, folder: Callable[..., Path]) -> None:
    asked: list[Route] = []

    def count(route: Route) -> None:
        asked.append(route)
        route.continue_()

    desk.page.route("**/predict?*", count)
    page = begin(desk, folder(500, 500))
    expect(page.locator(".prove-place")).to_contain_text("Film 1 of 1100")

    for _ in range(3):
        expect(page.locator(".prove-call").first).to_be_enabled()
        page.keyboard.press(NORMAL)
        expect(page.locator(".prove-model")).not_to_have_text(
            re.compile("not here yet"), timeout=TRIAL_TIMEOUT_MS
        )
        page.keyboard.press("Enter")
        expect(page.locator(".prove-model")).to_have_count(0)

    assert len(asked) <= 12
    assert page.evaluate("() => document.querySelectorAll('*').length") < 300
