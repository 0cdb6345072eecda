import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import highdicom.sr
import httpx
import pydicom
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import KEY, Watch
from tests.e2e.desk import Desk
from tests.e2e.images import chest_dicom, ct_dicom, normal_jpeg
from tests.gateway import stack
from tests.gateway.stack import Gateway, Service, free_port, gateway
from tests.integration.live import key_of

IDENTITY = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}
Headers = Mapping[str, str] | Sequence[tuple[bytes, bytes]]
AUTHORIZED = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/dicom"}
BUTTON = "Download a DICOM SR, which names the patient as the image does"


@pytest.fixture(scope="module")
def pair(
    models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Gateway]]:
    """A service with a key, and a gateway with it that makes reports for its page."""
    folder = tmp_path_factory.mktemp("pair")
    keys = json.dumps({"reader": key_of(KEY, ["predict", "read"])})
    service = stack.service(folder, PNEUMO_MODELS_DIR=str(models), PNEUMO_API_KEYS=keys)
    (folder / "key").write_text(KEY)
    made = gateway(
        folder / "gateway",
        [service.url],
        [],
        rules=[],
        http={"page_origins": [service.url]},
        service={"key_file": str(folder / "key")},
    )
    service.environment["PNEUMO_PAGE_GATEWAY"] = made.url
    with service, made:
        yield service, made


@pytest.fixture
def reader(tab: Page, watch: Watch, pair: tuple[Service, Gateway]) -> Desk:
    """The page of that service, with the key given."""
    service, made = pair
    watch.origin, watch.gateway, watch.expects_refusals = service.url, made.url, True
    desk = Desk(tab, service.url).open()
    desk.pick({"first.jpg": normal_jpeg()})
    tab.get_by_role("dialog").get_by_label("API key").fill(KEY)
    tab.keyboard.press("Enter")
    expect(desk.decision).to_be_visible()
    return desk


def button(desk: Desk) -> Locator:
    return desk.page.get_by_role("button", name=BUTTON)


def saved(desk: Desk) -> pydicom.Dataset:
    with desk.page.expect_download() as coming:
        button(desk).press("Enter")
    assert coming.value.suggested_filename == "pneumoscope-sr.dcm"
    return highdicom.sr.srread(coming.value.path())


def ask(
    made: Gateway, body: bytes, headers: Headers = AUTHORIZED, **query: str | int
) -> httpx.Response:
    address = f"{made.url}/report"
    return httpx.post(
        address, content=body, params=query, headers=headers, timeout=60, trust_env=False
    )


def frames_in(item: pydicom.Dataset) -> set[int | None]:
    """The frames that the images of a document are named with."""
    found: set[int | None] = set()
    if item.ValueType == "IMAGE":
        found.add(item.ReferencedSOPSequence[0].get("ReferencedFrameNumber"))
    return found.union(*(frames_in(child) for child in item.get("ContentSequence", ())))


def test_the_gateway_reports_on_a_dicom_file_what_the_page_shows(reader: Desk) -> None:
    expect(button(reader)).to_have_count(0)  # the first image is a JPEG
    image = chest_dicom(**IDENTITY)
    reader.pick({"chest.dcm": image})
    reader.select("chest.dcm")
    expect(reader.row("chest.dcm")).to_contain_text("Normal")

    report, another = saved(reader), saved(reader)

    source = pydicom.dcmread(io.BytesIO(image))
    groups = {
        group.tracking_identifier: group for group in report.content.get_image_measurement_groups()
    }
    [evidence] = report.CurrentRequestedProcedureEvidenceSequence
    [series] = evidence.ReferencedSeriesSequence
    [referenced] = series.ReferencedSOPSequence
    assert referenced.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert (report.PatientID, report.StudyInstanceUID) == (
        source.PatientID,
        source.StudyInstanceUID,
    )
    [decision] = groups.pop("decision").get_qualitative_evaluations()
    assert decision.value.meaning == reader.decision.inner_text().strip()
    shown = reader.page.locator(".bar-value").all_inner_texts()
    assert [f"{group.get_measurements()[0].value:.1%}" for group in groups.values()] == shown
    assert report.SOPInstanceUID != another.SOPInstanceUID


def test_a_gateway_that_is_away_or_refuses_is_said(reader: Desk) -> None:
    page = reader.page
    reader.pick({"chest.dcm": chest_dicom(**IDENTITY)})
    reader.select("chest.dcm")
    expect(reader.row("chest.dcm")).to_contain_text("Normal")

    page.route("**/report?*", lambda route: route.abort())
    button(reader).click()
    expect(page.get_by_text("The gateway did not answer.")).to_be_visible()
    page.unroute("**/report?*")
    page.route("**/report?*", lambda route: route.continue_(post_data="no DICOM"))
    button(reader).click()

    expect(page.get_by_text("The gateway made no report: It is not a DICOM file")).to_be_visible()


def test_a_report_is_of_the_frame_and_the_model_that_were_asked_for(
    pair: tuple[Service, Gateway],
) -> None:
    _, made = pair
    stack = ct_dicom(frames=2, **IDENTITY)

    second = ask(made, stack, frame=2)
    missing, other = ask(made, stack, frame=3), ask(made, stack, digest="sha256:0")

    document = pydicom.dcmread(io.BytesIO(second.content))
    frames = frames_in(document)
    assert second.headers["content-type"] == "application/dicom"
    assert frames == {None, 2}  # the image library names the file
    assert (missing.status_code, missing.text) == (422, "It has no frame 3.")
    assert (other.status_code, "Another version" in other.text) == (422, True)


def test_only_the_page_and_who_may_have_images_read_get_a_report(
    pair: tuple[Service, Gateway],
) -> None:
    service, made = pair
    asked = {"Access-Control-Request-Method": "POST"}
    preflights = [
        httpx.options(f"{made.url}/report", headers={"Origin": origin, **asked}, trust_env=False)
        for origin in (service.url, f"http://127.0.0.1:{free_port()}")
    ]
    image = chest_dicom(**IDENTITY)

    stranger = ask(made, image, {})
    foreign = ask(made, b"x", {"Origin": "http://else"})
    garbled = ask(made, image, [(b"Authorization", b"Bearer cl\xe9")])

    assert [preflight.status_code for preflight in preflights] == [200, 400]
    assert (foreign.status_code, garbled.status_code) == (403, 401)
    assert "access-control-allow-origin" not in preflights[1].headers
    assert stranger.status_code == 401
    assert stranger.text.startswith("401: ")
    assert not list((made.folder / "state" / "incoming").iterdir())
    assert made.counts()["instances"] == {}
