import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, Response, expect

from tests.e2e.axe import violations
from tests.e2e.desk import Desk
from tests.e2e.images import normal_jpeg, pneumonia_png, undecided_png
from tests.gateway import stack
from tests.gateway.stack import Service
from tests.integration.live import key_of

READER, NO_READER = "a-reader-of-this-page", "a-key-that-gives-no-feedback"


@pytest.fixture(scope="module")
def audited(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a trail, and two keys of which one may give feedback."""
    folder = tmp_path_factory.mktemp("audited")
    scopes = ["predict", "read"]
    keys = {"reader": key_of(READER, [*scopes, "feedback"]), "other": key_of(NO_READER, scopes)}
    with stack.service(
        folder,
        PNEUMO_MODELS_DIR=str(models),
        PNEUMO_API_KEYS=json.dumps(keys),
        PNEUMO_AUDIT_URL=f"sqlite:///{folder / 'audit.db'}",
    ) as running:
        yield running


@pytest.fixture
def unlocked(visit: Callable[[Service], Desk], audited: Service, refusals_expected: None) -> Desk:
    return visit(audited).open()


def read_with(desk: Desk, key: str, files: dict[str, bytes]) -> None:
    desk.pick(files)
    desk.page.get_by_role("dialog").get_by_label("API key").fill(key)
    desk.page.keyboard.press("Enter")
    expect(desk.decision).to_be_visible()


def word(page: Page) -> Locator:
    return page.get_by_role("group", name=re.compile("Do you agree|¿De acuerdo"))


def counted(service: Service) -> list[dict[str, object]]:
    headers = {"Authorization": f"Bearer {READER}"}
    answer = httpx.get(f"{service.url}/feedback", headers=headers, trust_env=False)
    return list(answer.raise_for_status().json()["models"])


def test_a_reader_agrees_corrects_and_sees_the_agreement(unlocked: Desk, audited: Service) -> None:
    desk, page = unlocked, unlocked.page
    read_with(desk, READER, {"normal.jpg": normal_jpeg()})
    group = word(page)
    agree = group.get_by_role("button", name="Agree")
    instead = group.get_by_role("button", name="Pneumonia")

    agree.focus()
    page.keyboard.press("Enter")
    expect(agree).to_have_attribute("aria-pressed", "true")
    expect(group.get_by_role("status")).to_have_text("Noted. Another click changes it.")
    first = counted(audited)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(instead).to_have_attribute("aria-pressed", "true")
    expect(agree).to_have_attribute("aria-pressed", "false")
    second = counted(audited)
    desk.pick({"other.png": pneumonia_png()})
    desk.select("other.png")
    expect(desk.decision).to_have_text("Pneumonia")
    agree.click()
    expect(agree).to_have_attribute("aria-pressed", "true")
    seen = violations(page)
    page.get_by_role("link", name="Models").click()
    article = page.get_by_role("article", name="bright-chest")
    expect(article).to_contain_text("agreed with 1 of the 2 answers that they judged")
    expect(page.get_by_role("article", name="bright-slice")).not_to_contain_text("agreed with")

    model = {"name": "bright-chest", "version": 1}
    assert first == [{**model, "agreed": 1, "corrected": 0}]
    assert second == [{**model, "agreed": 0, "corrected": 1}]
    assert seen + violations(page) == []


def test_a_referral_can_be_agreed_with_in_spanish_on_a_phone(unlocked: Desk) -> None:
    page = unlocked.page
    page.set_viewport_size({"width": 360, "height": 640})
    read_with(unlocked, READER, {"hazy.png": undecided_png()})
    page.get_by_label("Language").select_option("es")
    group = word(page)

    expect(group.get_by_role("button")).to_have_text(["", "De acuerdo", "Normal", "Neumonía"])
    group.get_by_role("button", name="De acuerdo").click()

    expect(group.get_by_role("status")).to_have_text("Anotado. Otro clic lo cambia.")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert violations(page) == []


def test_what_the_service_does_not_take_is_said(unlocked: Desk) -> None:
    page = unlocked.page
    read_with(unlocked, READER, {"normal.jpg": normal_jpeg()})
    page.route("**/feedback/*", lambda route: route.abort())

    word(page).get_by_role("button", name="Agree").click()

    expect(page.get_by_text("The service did not take it.")).to_be_visible()
    expect(word(page).get_by_role("button", pressed=True)).to_have_count(0)


def test_a_key_without_the_right_is_not_asked(unlocked: Desk) -> None:
    def is_refused(response: Response) -> bool:
        return response.url.endswith("/feedback") and response.status == 403

    with unlocked.page.expect_response(is_refused):
        read_with(unlocked, NO_READER, {"normal.jpg": normal_jpeg()})

    expect(word(unlocked.page)).to_have_count(0)
