import json
import re

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from tests.e2e.answers import change_answers, check
from tests.e2e.desk import Desk
from tests.e2e.images import (
    PATIENT_ID,
    chest_dicom,
    corrupt_jpeg,
    ct_dicom,
    normal_jpeg,
    pneumonia_png,
    undecided_png,
)


def test_a_dropped_radiograph_is_decided_with_bars_and_heatmap_and_a_pasted_one_too(
    desk: Desk,
) -> None:
    desk.drop({"chest.png": pneumonia_png()})

    expect(desk.decision).to_have_text("Pneumonia")
    bar = desk.result.get_by_role("listitem").filter(has_text="Pneumonia")
    expect(bar).to_contain_text("> 99.9%")
    expect(bar).to_contain_text("reaches its threshold for calling of 90.0%")
    expect(desk.result).to_contain_text("bright-chest")
    desk.wait_for_picture()
    assert desk.colours() == 0
    desk.heatmap_switch.click()
    assert desk.colours() > 10_000
    bar.get_by_role("button", name="heatmap of Pneumonia").click()
    assert desk.colours() == 0
    desk.paste({"clip.jpg": normal_jpeg()})
    desk.select("clip.jpg")
    expect(desk.decision).to_have_text("Normal")


def test_what_the_service_does_not_offer_the_page_does_not_show(closed: Desk) -> None:
    asked: list[str] = []
    closed.page.on("request", lambda sent: asked.append(sent.url))
    desk = closed.open()

    desk.read({"chest.dcm": chest_dicom(StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4")})

    expect(desk.result).not_to_contain_text("Image quality")
    expect(desk.result).not_to_contain_text("Likeness to the training images")
    expect(desk.heatmap_switch).to_be_visible()
    expect(desk.page.get_by_role("button", name="Lungs")).to_have_count(0)
    expect(desk.page.get_by_role("button", name="Copy JSON")).to_be_visible()
    expect(desk.page.get_by_role("button", name="Download a DICOM SR")).to_have_count(0)
    expect(desk.page.get_by_role("group", name="Do you agree")).to_have_count(0)
    assert not [url for url in asked if "feedback" in url]


def test_quality_and_likeness_are_shown_when_the_service_says_them(desk: Desk) -> None:
    more = {
        "decision": "refer",
        "reasons": ["quality.exposure", "out_of_distribution"],
        "quality": {
            "accepted": False,
            "checks": [
                check("exposure", 0.95, 0.1, 0.9, "Too bright, in the service's words."),
                check("a_later_check", 1, None, 0.5, "Do what the service says."),
            ],
        },
        "out_of_distribution": {"score": 9.5, "limit": 4.2, "accepted": False},
    }
    change_answers(desk.page, more)

    desk.read({"chest.jpg": normal_jpeg()})

    expect(desk.result.locator(".failures")).to_contain_text("Too bright.")
    expect(desk.result).to_contain_text("expected 0.1 to 0.9")
    expect(desk.result).to_contain_text("Too bright. Send it with its own window")
    expect(desk.result).to_contain_text("expected at most 0.5")
    expect(desk.result.get_by_text("Do what the service says.")).to_have_attribute("lang", "en")
    expect(desk.result).to_contain_text("score 9.5, limit 4.2")
    expect(desk.result).to_contain_text("The image is unlike those that the model was trained on.")


@pytest.mark.usefixtures("refusals_expected")
def test_a_corrupt_file_is_explained_in_plain_words(desk: Desk) -> None:
    desk.pick({"broken.jpg": corrupt_jpeg()})

    expect(desk.result).to_contain_text("The image is damaged or cut off.")
    expect(desk.result).to_contain_text("Export or copy it again from where it came from.")
    expect(desk.result).to_contain_text("The JPEG is truncated or damaged.")
    expect(desk.result.get_by_role("button", name="Try again")).to_have_count(0)


def test_a_dicom_file_shows_its_facts_and_hides_its_patient(desk: Desk) -> None:
    desk.read({"chest.dcm": chest_dicom()})

    expect(desk.result).to_contain_text("Digital radiography (DX)")
    expect(desk.result).to_contain_text("480 \u00d7 512")
    expect(desk.result).to_contain_text("0.2 \u00d7 0.2 mm")
    assert PATIENT_ID not in desk.page.content()
    desk.page.get_by_role("button", name="Show name and ID").click()
    expect(desk.result).to_contain_text("Example Erika")
    expect(desk.result).to_contain_text(PATIENT_ID)
    desk.page.get_by_role("button", name="Hide name and ID").click()
    assert PATIENT_ID not in desk.page.content()


def test_the_model_follows_the_modality_until_one_is_chosen(desk: Desk) -> None:
    desk.read({"slice.dcm": ct_dicom()})
    expect(desk.result).to_contain_text("bright-slice")
    desk.read({"chest.jpg": normal_jpeg()})
    expect(desk.result).to_contain_text("bright-chest")

    desk.page.get_by_role("combobox", name="Model").select_option("bright-slice")

    expect(desk.result).to_contain_text("bright-slice")
    expect(desk.decision).to_have_text("Normal")
    desk.page.get_by_role("combobox", name="Model").select_option("")
    expect(desk.result).to_contain_text("bright-chest")


def test_the_json_can_be_copied(desk: Desk, context: BrowserContext) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    desk.read({"chest.jpg": normal_jpeg()})

    desk.page.get_by_role("button", name="Copy JSON").click()

    expect(desk.page.get_by_role("button", name="Copied")).to_be_visible()
    copied = json.loads(desk.page.evaluate("() => navigator.clipboard.readText()"))
    assert copied["results"][0]["decision"] == "normal"
    assert copied["model"]["intended_use"] == "Research only. Not for diagnosis."


def test_a_print_is_one_page_with_the_result_and_the_warning_and_no_controls(desk: Desk) -> None:
    desk.read({"chest.dcm": chest_dicom()})

    desk.page.emulate_media(media="print")

    expect(desk.page.locator(".print-research")).to_be_visible()
    # What browsers repeat on every page.
    head = desk.page.locator(".print-head")
    expect(head).to_have_css("display", "table-header-group")
    expect(head).to_have_css("break-inside", "avoid")
    expect(desk.decision).to_be_visible()
    expect(desk.page.locator("canvas.picture")).to_be_visible()
    expect(desk.page.get_by_role("button", name="Copy JSON")).to_be_hidden()
    expect(desk.page.get_by_role("toolbar")).to_be_hidden()
    assert len(re.findall(rb"/Type\s*/Page\b", desk.page.pdf(format="A4"))) == 1


def test_the_page_speaks_spanish_and_remembers_it(desk: Desk) -> None:
    desk.page.get_by_label("Language").select_option("es")
    desk.page.reload()

    desk.pick({"gray.png": undecided_png()})

    expect(desk.decision).to_have_text("Derivar a un especialista")
    expect(desk.page.locator("header")).to_contain_text("No apto para diagnóstico")
    assert desk.page.evaluate("() => document.documentElement.lang") == "es"


def test_the_status_shows_how_full_the_service_is_and_that_it_empties(closed: Desk) -> None:
    in_flight = [3, 3, 0]

    def fuller(route: Route) -> None:
        answer = route.fetch()
        left = in_flight.pop(0) if in_flight else 0
        route.fulfill(response=answer, json={**answer.json(), "in_flight": left, "queue_limit": 48})

    closed.page.route("**/health", fuller)
    desk = closed.open()

    shown = desk.page.get_by_text("of 48 in the service")
    expect(shown).to_have_text("3 of 48 in the service")
    expect(shown).to_have_count(0)
