import gzip
import json

from playwright.sync_api import Response

from service.routes.page import BUILT
from tests.e2e.desk import Desk
from tests.e2e.images import PATIENT_ID, chest_dicom

FIRST_LOAD_BYTES = 80_000
WHOLE_PAGE_BYTES = 1_500_000
FIRST_LOAD_MS = 1_000


def test_nothing_but_preferences_is_stored(desk: Desk) -> None:
    desk.read({"chest.dcm": chest_dicom()})
    desk.page.get_by_role("button", name="Show name and ID").click()
    desk.page.get_by_label("Colours").select_option("light")

    stored = desk.page.evaluate(
        """async () => ({
            local: { ...localStorage },
            session: { ...sessionStorage },
            cookies: document.cookie,
            databases: (await indexedDB.databases()).length,
            caches: (await caches.keys()).length,
            workers: (await navigator.serviceWorker?.getRegistrations() ?? []).length,
        })"""
    )

    assert set(stored["local"]) == {"pneumoscope.preferences"}
    kept = json.loads(stored["local"]["pneumoscope.preferences"])
    assert set(kept) == {"theme", "language", "opacity"}
    assert (stored["session"], stored["cookies"]) == ({}, "")
    assert (stored["databases"], stored["caches"], stored["workers"]) == (0, 0, 0)


def test_only_the_image_itself_is_sent_and_only_to_predict(closed: Desk) -> None:
    sent: list[tuple[str, str, int]] = []
    closed.page.on(
        "request",
        lambda request: sent.append(
            (request.method, request.url, len(request.post_data_buffer or b""))
        ),
    )
    desk = closed.open()

    desk.read({"Example_Erika.dcm": chest_dicom()})

    posts = [(url, size) for method, url, size in sent if method != "GET"]
    assert len(posts) == 1
    assert posts[0][0] == f"{desk.url}/predict?explain=heatmap"
    assert not any(PATIENT_ID in url or "Erika" in url for _, url, _ in sent)


def test_the_first_load_is_light_and_quick(closed: Desk) -> None:
    loaded: dict[str, Response] = {}

    def keep(response: Response) -> None:
        loaded.setdefault(response.url, response)

    closed.page.on("response", keep)

    desk = closed.open()

    timing = desk.page.evaluate("() => performance.getEntriesByType('navigation')[0].loadEventEnd")
    parts = [
        response for url, response in loaded.items() if url == f"{desk.url}/" or "/assets/" in url
    ]
    weight = sum(int(response.headers.get("content-length", "0")) for response in parts)
    assert 10_000 < weight < FIRST_LOAD_BYTES
    assert timing < FIRST_LOAD_MS


def test_the_whole_page_with_every_decoder_is_light() -> None:
    files = [file for file in (BUILT / "assets").iterdir() if file.is_file()]

    weight = sum(len(gzip.compress(file.read_bytes())) for file in files)

    assert sum(file.suffix == ".wasm" for file in files) == 2
    assert 60_000 < weight < WHOLE_PAGE_BYTES
