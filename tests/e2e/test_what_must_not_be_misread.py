"""What a clinician could take for something else, and how the page says it."""

import base64
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
from playwright.sync_api import Route, expect

from contract.manifest import MANIFEST_FILE, Metric, Site, read_manifest
from tests.bundles import write_bundle
from tests.e2e.answers import POOR, change_answers, check, evidence, findings
from tests.e2e.axe import violations
from tests.e2e.desk import Desk
from tests.e2e.images import chest_dicom, ct_dicom, normal_jpeg, pneumonia_png, undecided_png
from tests.gateway import stack
from tests.gateway.stack import Service
from tests.synthetic import as_png

QUALITY = {
    "accepted": True,
    "checks": [check("noise", 0.2, None, 0.475), check("exposure", 0.4, 0.1, 0.9)],
}
# A line of the panel is lower.
LINE_PX = 24
PNG = base64.b64encode(as_png(np.full((8, 8), 255, np.uint8))).decode()


def test_a_decision_says_how_often_such_a_call_was_right_or_that_nobody_has_measured_it(
    desk: Desk,
) -> None:
    desk.read({"white.png": pneumonia_png(), "dark.jpg": normal_jpeg()})

    card = desk.result.locator(".decision")
    expect(card).to_contain_text("Of 48 held-out images called “Pneumonia”, 36 were.")
    expect(card.locator(".grounds-share")).to_have_text("75% How often such a call was right")
    expect(card).to_contain_text("Trained on synthetic")
    desk.select("dark.jpg")
    expect(card).to_contain_text("Not measured")


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Like images of example_256: of 68 held-out images called “Pneumonia”, 46 were."),
        ("es", "Se parece a las imágenes de example_256: de 68 imágenes reservadas señaladas como"),
    ],
)
def test_the_evidence_of_an_answer_goes_before_that_of_all_images(
    desk: Desk, language: str, words: str
) -> None:
    change_answers(desk.page, {"evidence": evidence(called=68, right=46)})
    desk.page.locator(".choices select").last.select_option(language)

    desk.read({"white.png": pneumonia_png()})

    card = desk.result.locator(".decision")
    expect(card).to_contain_text(words)
    expect(card.locator(".grounds-share .number")).to_have_count(1)
    expect(card).not_to_contain_text("In the service's words.")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "It is like images of example_256, on which the model was shown to tell none"),
        ({"distance": 1.2}, "It is like no images that the model was measured on; nearest are"),
        ({"findings": ["normal"]}, "on which the model was shown to tell Normal alone."),
    ],
)
def test_a_referral_for_want_of_evidence_says_what_was_shown(
    desk: Desk, more: dict[str, object], words: str
) -> None:
    change_answers(
        desk.page,
        {"decision": "refer", "reasons": ["no_evidence"], "evidence": evidence() | more},
    )

    desk.read({"white.png": pneumonia_png()})

    expect(desk.result.locator(".failures")).to_contain_text(words)


def test_a_call_below_the_most_probable_finding_is_no_decision(desk: Desk) -> None:
    change_answers(
        desk.page,
        {"decision": "covid-19", "findings": findings({"normal": 0.43, "covid-19": 0.3}, 0.25)},
    )

    desk.read({"chest.jpg": normal_jpeg()})

    expect(desk.decision).to_have_text("Refer to a reader")
    expect(desk.result).to_contain_text("another one is more probable")
    expect(desk.row("chest.jpg")).to_contain_text("Refer to a reader")


@pytest.mark.parametrize(
    ("language", "word", "lead"),
    [
        ("en", "Not COVID-19", "Other disease is not judged."),
        ("es", "Sin COVID-19", "No se valora ninguna otra enfermedad."),
    ],
)
def test_one_against_the_rest_is_neutral_and_never_called_other(
    desk: Desk, language: str, word: str, lead: str
) -> None:
    change_answers(
        desk.page, {"decision": "other", "findings": findings({"other": 0.9, "covid-19": 0.1})}
    )
    desk.page.locator(".choices select").last.select_option(language)

    desk.read({"slice.jpg": normal_jpeg()})

    expect(desk.decision).to_have_text(word)
    expect(desk.result.locator(".decision")).to_contain_text(lead)
    expect(desk.result.locator(".decision")).to_have_class("decision negative")
    expect(desk.page.locator(".study-state")).to_have_class("study-state negative")


def test_a_referral_names_the_failure_first_and_what_to_do(desk: Desk) -> None:
    change_answers(
        desk.page,
        {
            "decision": "refer",
            "reasons": ["quality.exposure"],
            "quality": POOR,
        },
    )

    desk.read({"dark.jpg": normal_jpeg()})

    failure = desk.result.locator(".decision .failures li").first
    expect(failure.locator(".failure-what")).to_have_text("Too dark.")
    expect(failure).to_contain_text("repeat it with the exposure corrected")


def test_a_referral_says_why_and_closes_numbers_and_pictures(desk: Desk) -> None:
    desk.read({"gray.png": undecided_png()})

    expect(desk.decision).to_have_text("Refer to a reader")
    expect(desk.result).to_contain_text("No finding clearly stands alone")
    expect(desk.result.locator(".bar-name").first).to_be_hidden()
    expect(desk.heatmap_switch).to_have_attribute("aria-pressed", "false")
    desk.result.get_by_text("Probabilities all the same").click()
    expect(desk.result.locator(".bar-name").first).to_be_visible()
    expect(desk.result).to_contain_text("do not rely on these numbers")


@pytest.mark.usefixtures("refusals_expected")
def test_a_lateral_view_is_called_one(desk: Desk) -> None:
    desk.pick({"side.dcm": chest_dicom(ViewPosition="LL")})

    expect(desk.result.locator(".problem-what")).to_have_text(
        "This is a lateral view. The models read frontal views only."
    )
    expect(desk.page.get_by_role("button", name="Try", exact=False)).to_have_count(0)


@pytest.mark.usefixtures("refusals_expected")
def test_what_a_model_does_not_take_is_tried_again_with_another(desk: Desk) -> None:
    desk.open()
    desk.read({"film.jpg": normal_jpeg()})
    desk.page.locator(".model-choice select").select_option("bright-chest")
    desk.pick({"one.dcm": ct_dicom(), "two.dcm": ct_dicom(InstanceNumber=2)})
    again = desk.page.get_by_role("button", name="Try two.dcm again")
    expect(desk.page.locator(".study-state.bad")).to_have_count(2)
    expect(again).to_have_count(0)

    desk.page.locator(".model-choice select").select_option("bright-slice")
    again.click()

    expect(desk.page.locator(".study-state.bad")).to_have_count(1)


@pytest.mark.parametrize(
    ("language", "turned", "advice"),
    [
        ("en", "turned by 180 degrees", "The service has turned it"),
        ("es", "girada 180 grados", "El servicio la giró"),
    ],
)
def test_a_turned_image_is_called_one_and_need_not_be_sent_upright(
    desk: Desk, language: str, turned: str, advice: str
) -> None:
    limits = {"lower": None, "upper": 0.2596}
    check = {"name": "rotation", "value": 0.259625, **limits, "passed": False, "advice": "Turn it."}
    quality = {"quality": {"accepted": False, "checks": [check]}}
    change_answers(desk.page, {"decision": "refer", "reasons": ["quality.rotation"], **quality})
    desk.open()
    desk.page.locator(".choices select").last.select_option(language)

    desk.read({"film.dcm": chest_dicom(PatientOrientation=["R", "H"])})

    expect(desk.result.locator(".turn-note")).to_contain_text(turned)
    expect(desk.result.locator(".failures")).to_contain_text(advice)
    expect(desk.result.locator(".checks .advice")).to_contain_text(advice)
    expect(desk.result.locator(".checks .number")).to_have_text(re.compile(r"0[.,]25963"))


def test_a_heatmap_that_looks_elsewhere_says_so_first(desk: Desk) -> None:
    picture = {"media_type": "image/png", "data": PNG, "width": 8, "height": 8}
    change_answers(
        desk.page,
        {
            "heatmap": {**picture, "label": "pneumonia", "inside_lungs": 0.12},
            "decision": "pneumonia",
        },
    )
    desk.read({"white.png": pneumonia_png()})

    desk.heatmap_switch.click()

    warning = desk.page.get_by_role("alert")
    expect(warning).to_contain_text("Only 12.0% of this heatmap lies inside the lungs")
    assert violations(desk.page) == []
    assert desk.colours() == 0
    warning.get_by_role("button", name="Show it all the same").click()
    assert desk.colours() > 1000


def half_white() -> bytes:
    """What both findings of the tests' model have a part of."""
    pixels = np.full((200, 200), 250, np.uint8)
    pixels[140:] = 0
    return as_png(pixels)


@pytest.mark.usefixtures("refusals_expected")
def test_each_bar_shows_the_heatmap_of_its_finding_asked_for_again_where_it_did_not_come(
    desk: Desk,
) -> None:
    asked: list[str] = []
    desk.page.on("request", lambda request: asked.append(request.url.partition("/predict?")[2]))
    desk.read({"half.png": half_white()})
    normal, pneumonia = (
        desk.result.get_by_role("button", name=f"Show or hide the heatmap of {finding}")
        for finding in ("Normal", "Pneumonia")
    )

    pneumonia.click()
    decided = desk.colours()
    desk.page.route("**/predict?explain=normal*", lambda route: route.abort())
    normal.click()
    expect(desk.page.locator(".heat")).to_contain_text("could not be had")
    desk.page.unroute("**/predict?explain=normal*")
    normal.click()
    expect(desk.page.locator(".legend")).to_contain_text("What speaks for Normal")
    expect(pneumonia).to_have_attribute("aria-pressed", "false")
    other = desk.colours()
    normal.click()
    hidden = desk.colours()
    normal.click()

    expect(desk.page.locator(".legend")).to_contain_text("What speaks for Normal")
    assert decided > other > 1000
    assert hidden == 0
    assert [query for query in asked if query] == [
        "explain=heatmap",
        *["explain=normal&model=bright-chest&version=1"] * 2,
    ]


def test_a_finding_that_nothing_speaks_for_has_no_heatmap(desk: Desk) -> None:
    desk.read({"white.png": pneumonia_png()})

    desk.result.get_by_role("button", name="Show or hide the heatmap of Normal").click()

    expect(desk.page.locator(".heat")).to_have_text("Nothing on this image speaks for Normal.")
    assert desk.colours() == 0


@pytest.fixture(scope="module")
def site_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("site")
    bundle = write_bundle(folder / "models")
    site = Site(
        name="Example Hospital",
        commissioned_at=datetime(2026, 3, 4, tzinfo=UTC),
        base_version=1,
        features="none",
        change="none",
        verdict="fit to answer here",
        images={"normal": 150, "pneumonia": 120},
        patients=200,
        auroc=(0.9, 0.85, 0.95),
        accuracy=(0.88, 0.83, 0.92),
        answered=0.8,
        labels_digest="none",
    )
    accuracy = Metric(
        dataset=site.name, name="accuracy_answered", value=0.88, lower=0.83, upper=0.92, images=270
    )
    manifest = read_manifest(bundle).model_copy(
        update={"site": site, "ages": (1, 5), "metrics": (accuracy,)}
    )
    (bundle / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2))
    with stack.service(folder, PNEUMO_MODELS_DIR=str(folder / "models")) as running:
        yield running


@pytest.fixture
def site_desk(visit: Callable[[Service], Desk], site_service: Service) -> Desk:
    return visit(site_service).open()


def test_a_commissioned_model_says_where_and_how_often_it_is_right_there(site_desk: Desk) -> None:
    site_desk.read({"white.png": pneumonia_png()})

    card = site_desk.result.locator(".decision")
    expect(card.locator(".site-note")).to_have_text(
        "Commissioned at Example Hospital, Mar 4, 2026: fit to answer here."
    )
    expect(card.locator(".grounds-share")).to_have_text(
        "88% How often an answer was right at this site"
    )
    site_desk.page.get_by_role("link", name="Models").click()
    expect(site_desk.page.get_by_role("article")).to_contain_text(
        "Commissioned at Example Hospital, Mar 4, 2026: fit to answer here."
    )


@pytest.mark.parametrize(("age", "warned"), [("061Y", 1), ("003Y", 0), ("", 0)])
def test_an_age_outside_the_training_data_is_warned_of(
    site_desk: Desk, age: str, warned: int
) -> None:
    site_desk.read({"chest.dcm": chest_dicom(PatientAge=age)})

    note = site_desk.result.locator(".age-note")
    expect(site_desk.result.locator(".provenance").first).to_contain_text("Body part")
    expect(note).to_have_count(warned)
    if warned:
        expect(note).to_have_text(
            "The patient is 61 years old. The model learned from patients of 1 to 5 years."
        )
    assert violations(site_desk.page) == []


def test_an_image_of_the_other_kind_is_one_click_from_its_model(desk: Desk) -> None:
    def strange_to_radiographs(route: Route) -> dict[str, object]:
        if "model=bright-slice" in route.request.url:
            return {}
        return {"decision": "refer", "reasons": ["out_of_distribution"]}

    change_answers(desk.page, strange_to_radiographs)
    desk.read({"slice.png": pneumonia_png()})

    desk.result.get_by_role("button", name="It is a CT slice: read it with bright-slice").click()

    expect(desk.decision).to_have_text("Pneumonia")
    expect(desk.result).to_contain_text("The models disagree on this image")
    expect(desk.result.locator(".disagreement li")).to_have_text(
        ["bright-chest: Refer to a reader", "bright-slice: Pneumonia"]
    )


@pytest.mark.usefixtures("refusals_expected")
def test_a_file_that_a_chosen_model_does_not_take_is_offered_the_other_one(desk: Desk) -> None:
    desk.read({"slice.dcm": ct_dicom()})

    desk.page.get_by_role("combobox", name="Model").select_option("bright-chest")
    expect(desk.result.locator(".problem")).to_be_visible()
    desk.result.get_by_role("button", name="read it with bright-slice").click()

    expect(desk.decision).to_be_visible()
    expect(desk.result).to_contain_text("bright-slice")


def test_what_passed_is_one_line_and_limits_are_words(desk: Desk) -> None:
    change_answers(desk.page, {"quality": QUALITY})
    desk.read({"chest.jpg": normal_jpeg()})

    line = desk.result.locator("summary", has_text="Image quality")
    expect(line).to_contain_text("Good enough")
    folded = line.bounding_box()
    assert folded is not None
    assert folded["height"] < 1.5 * LINE_PX
    expect(desk.result.get_by_text("expected at most 0.475")).to_be_hidden()
    line.click()

    expect(desk.result.get_by_text("expected at most 0.475")).to_be_visible()
    expect(desk.result.get_by_text("expected 0.1 to 0.9")).to_be_visible()
    assert "∞" not in desk.page.content()


@pytest.mark.parametrize("size", [(360, 640), (320, 640)])
def test_a_phone_shows_the_decision_without_scrolling(desk: Desk, size: tuple[int, int]) -> None:
    desk.page.set_viewport_size({"width": size[0], "height": size[1]})

    desk.read({"chest.jpg": normal_jpeg()})

    box = desk.decision.bounding_box()
    assert box is not None
    assert desk.page.evaluate("() => scrollY") == 0
    assert box["y"] + box["height"] < size[1]
