import pytest
from playwright.sync_api import FilePayload, expect

from tests.e2e.answers import POOR, Change, change_answers, evidence, findings
from tests.e2e.axe import Tour, violations
from tests.e2e.desk import Desk
from tests.e2e.images import (
    chest_dicom,
    corrupt_jpeg,
    ct_dicom,
    normal_jpeg,
    pneumonia_png,
    undecided_png,
)

WIDTHS = {"phone": (320, 640), "desk": (1280, 800), "wall": (3840, 2160)}

# What a card may say. The last image is read with another model, too.
CARDS: dict[str, Change] = {
    "not found": {"decision": "other", "findings": findings({"other": 0.9, "covid-19": 0.1})},
    "evidence": {"evidence": evidence(called=68, right=46)},
    "no evidence": {"decision": "refer", "reasons": ["no_evidence"], "evidence": evidence()},
    "poor": {"decision": "refer", "reasons": ["quality.exposure"], "quality": POOR},
    "strange": {
        "decision": "refer",
        "reasons": ["out_of_distribution"],
        "out_of_distribution": {"score": 9.5, "limit": 4.2, "accepted": False},
    },
}
UNAUTHENTICATED = """{
    "type": "/problems/unauthenticated", "title": "A key", "status": 401, "detail": "No key."
}"""


@pytest.mark.usefixtures("refusals_expected")
@pytest.mark.parametrize("width", WIDTHS)
def test_no_view_breaks_an_accessibility_rule_or_needs_scrolling_sideways(
    desk: Desk, width: str
) -> None:
    columns, rows = WIDTHS[width]
    desk.page.set_viewport_size({"width": columns, "height": rows})
    tour = Tour(desk.page)
    tour.look("empty")

    desk.read({"a-file-with-a-rather-long-name-that-must-not-widen-the-page.dcm": chest_dicom()})
    desk.page.get_by_role("button", name="Show name and ID").click()
    desk.page.get_by_role("button", name="What do these numbers mean?").focus()
    tour.look("result")
    desk.page.keyboard.press("Escape")
    desk.result.locator(".bar-heat").first.click()
    desk.stage.press("d")
    desk.stage.press("ArrowRight")
    desk.page.get_by_role("button", name="Keep results in this browser").click()
    expect(desk.page.get_by_role("button", name="Erase what is kept")).to_be_visible()
    expect(desk.page.locator(".heat")).to_be_visible()
    desk.page.get_by_role("button", name="Viewing aids").click()
    tour.look("measured")
    desk.page.get_by_role("button", name="Keep beside the next image").click()
    desk.pick({"undecided.png": undecided_png()})
    desk.result.get_by_text("Probabilities all the same").click()
    expect(desk.page.locator(".prior")).to_be_visible()
    # What has been scrolled below the header counts as covered by its choices.
    desk.page.evaluate("() => scrollTo(0, 0)")
    tour.look("referred beside a prior")
    desk.page.get_by_role("button", name="Close the prior").click()
    slices = (ct_dicom(SeriesInstanceUID="1.2", InstanceNumber=number) for number in (1, 2))
    desk.read({f"{number}.dcm": data for number, data in enumerate(slices)})
    desk.select("1.dcm")
    expect(desk.page.get_by_text("Slice 2 of 2")).to_be_visible()
    tour.look("slices")
    desk.read({"series.dcm": ct_dicom(frames=2)})
    tour.look("frames")
    desk.pick({"broken.jpg": corrupt_jpeg()})
    expect(desk.result).to_contain_text("damaged")
    desk.page.get_by_text("1 failed: why").click()
    tour.look("problem")
    desk.page.get_by_role("button", name="Keys").click()
    tour.look("keys")
    desk.page.keyboard.press("Escape")
    desk.page.get_by_role("link", name="Models").click()
    expect(desk.page.get_by_role("heading", name="bright-chest")).to_be_visible()
    tour.look("models")
    for title in ("Facts and thresholds", "Measured", "Plots", "Model card"):
        desk.page.locator("summary").get_by_text(title, exact=True).first.click()
    # The tables of what is unfolded are wider than a phone.
    tour.wrong += violations(desk.page)
    desk.page.locator("button.plot").first.click()
    expect(desk.page.get_by_role("dialog", name="ROC curve")).to_be_visible()
    tour.wrong += violations(desk.page)
    desk.page.keyboard.press("Escape")
    desk.page.get_by_role("link", name="Read").click()
    desk.page.get_by_role("button", name="Remove all").click()
    expect(desk.page.get_by_role("button", name="Undo")).to_be_visible()
    tour.look("removed")

    assert tour.wrong == []


def test_no_arrangement_of_the_desk_breaks_an_accessibility_rule(desk: Desk) -> None:
    page = desk.page
    desk.read({"before.jpg": normal_jpeg(), "after.jpg": normal_jpeg(1)})
    tour = Tour(page)

    for hidden, panel in (
        ("the list", "list"),
        ("both", "result"),
        ("the result", "list"),
        ("nothing", "result"),
    ):
        page.get_by_role("button", name=f"Hide the {panel}").click()
        desk.settle()
        tour.look(f"{hidden} hidden")
    page.get_by_role("button", name="Keep beside the next image").click()
    desk.select("after.jpg")
    expect(page.locator(".prior canvas.picture")).to_be_visible()
    tour.look("side by side")
    desk.stage.first.press("f")
    page.wait_for_function("() => document.fullscreenElement !== null")
    tour.look("full screen")
    desk.stage.first.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    tour.look("keys on the full screen")

    assert tour.wrong == []


def test_no_card_breaks_an_accessibility_rule(desk: Desk) -> None:
    page = desk.page
    tour = Tour(page)

    for name, change in CARDS.items():
        change_answers(page, change)
        desk.pick({f"{name}.png": pneumonia_png()})
        expect(page.locator(".result-file")).to_have_text(f"{name}.png")
        expect(desk.decision).to_be_visible()
        tour.look(name)
    change_answers(page, {})
    page.get_by_role("button", name="It is a CT slice").click()
    expect(desk.result).to_contain_text("The models disagree on this image")
    tour.look("models that disagree")

    assert tour.wrong == []


@pytest.mark.usefixtures("refusals_expected")
@pytest.mark.parametrize("language", ["en", "es"])
def test_no_state_of_the_service_breaks_an_accessibility_rule(desk: Desk, language: str) -> None:
    page = desk.page
    page.locator(".choices select").last.select_option(language)
    desk.read({"chest.dcm": chest_dicom()})
    tour = Tour(page)
    tour.look("ready")

    page.route("**/predict?*", lambda route: route.fulfill(status=401, body=UNAUTHENTICATED))
    desk.pick({"locked.jpg": normal_jpeg()})
    expect(page.get_by_role("dialog")).to_be_visible()
    tour.look("key")
    page.keyboard.press("Escape")
    page.route(
        "**/predict?*",
        lambda route: route.fulfill(status=429, headers={"Retry-After": "60"}, body="{}"),
    )
    desk.pick({"waits.jpg": normal_jpeg(1)})
    expect(page.locator(".banner.wait")).to_be_visible()
    tour.look("overloaded")
    page.route("**/health", lambda route: route.abort())
    page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".banner.bad")).to_be_visible()
    tour.look("away")

    assert tour.wrong == []


def test_the_skip_link_stays_on_its_page(desk: Desk) -> None:
    page = desk.page
    desk.open("#models")

    page.get_by_role("link", name="Skip to the content").focus()
    page.keyboard.press("Enter")

    expect(page.locator("main.models")).to_be_focused()
    expect(page.get_by_role("heading", name="bright-chest")).to_be_visible()


@pytest.mark.usefixtures("refusals_expected")
def test_the_focus_stays_in_the_tray_when_a_study_is_removed(desk: Desk) -> None:
    page = desk.page
    desk.pick({"a.jpg": normal_jpeg(), "b.jpg": corrupt_jpeg()})
    expect(desk.row("a.jpg")).to_contain_text("Normal")
    expect(desk.row("b.jpg")).to_contain_text("Could not be read")

    page.get_by_role("button", name="Remove a.jpg").click()
    expect(desk.row("b.jpg").locator(".study-select")).to_be_focused()
    page.get_by_role("button", name="Remove b.jpg").click()

    expect(page.get_by_role("button", name="Choose images")).to_be_focused()


def test_the_keyboard_alone_reads_compares_and_explains(desk: Desk) -> None:
    page = desk.page
    files = [
        FilePayload(name="first.jpg", mimeType="image/jpeg", buffer=normal_jpeg()),
        FilePayload(name="second.png", mimeType="image/png", buffer=pneumonia_png()),
    ]
    # From the start: a listener that is added only just before comes too late now and then.
    page.on("filechooser", lambda chooser: chooser.set_files(files))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(6):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Choose images")).to_be_focused()
    page.keyboard.press("Enter")
    expect(desk.decision).to_have_text("Normal")
    desk.wait_for_picture()

    desk.tab_to("[aria-current=true].study-select")
    page.keyboard.press("ArrowDown")
    expect(desk.decision).to_have_text("Pneumonia")
    desk.tab_to("[role=application]")
    desk.wait_for_picture()
    readout = page.locator(".readout")
    fitted = readout.inner_text()
    page.keyboard.press("1")
    expect(readout).to_contain_text("100 %")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("0")
    desk.settle()
    assert readout.inner_text() != fitted
    page.keyboard.press("h")
    assert desk.colours() > 0
    page.keyboard.press("h")
    assert desk.colours() == 0
    page.keyboard.press("i")
    assert set(desk.grays()) != {0, 250}
    page.keyboard.press("r")
    desk.settle()
    assert readout.inner_text() == fitted
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(desk.stage).to_be_focused()
    page.keyboard.press("PageUp")
    expect(desk.decision).to_have_text("Normal")
    desk.tab_to(".tip-button")
    expect(page.get_by_role("tooltip")).to_contain_text("calibrated probability")
    page.keyboard.press("Escape")
    expect(page.get_by_role("tooltip")).to_be_hidden()


def test_a_click_moves_the_image_for_who_cannot_drag(desk: Desk) -> None:
    desk.read({"chest.jpg": normal_jpeg()})
    desk.page.get_by_role("button", name="One to one").click()
    desk.page.get_by_role("button", name="Move", exact=True).click()
    before = desk.grays()

    desk.stage.click(position={"x": 60, "y": 60})

    assert desk.grays() != before


def test_the_focus_is_never_hidden_behind_the_header(desk: Desk) -> None:
    desk.page.set_viewport_size({"width": 320, "height": 568})
    desk.read({"chest.dcm": chest_dicom()})

    hidden = desk.page.evaluate(
        """() => {
            const top = () => document.querySelector('.header').getBoundingClientRect().bottom;
            const all = [...document.querySelectorAll('main button, main select, main input')];
            return all.filter((element) => {
                if (element.disabled || element.hidden || element.tabIndex < 0) return false;
                element.focus();
                const box = element.getBoundingClientRect();
                return box.height > 0 && box.bottom <= top();
            }).map((element) => element.outerHTML.slice(0, 100));
        }"""
    )

    assert hidden == []
