from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.axe import violations
from tests.e2e.conftest import KEY, KEY_WITHOUT_READ
from tests.e2e.desk import READ_TIMEOUT_MS, Desk
from tests.e2e.images import normal_jpeg
from tests.gateway.stack import Service


@pytest.mark.usefixtures("refusals_expected")
def test_a_key_is_asked_for_once_and_not_stored_and_a_full_queue_loses_nothing(
    visit: Callable[[Service], Desk], strict_service: Service
) -> None:
    desk = visit(strict_service).open()
    page = desk.page

    desk.pick({f"{number}.jpg": normal_jpeg(number) for number in range(5)})
    dialog = page.get_by_role("dialog")
    expect(dialog).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".banner.wait")).to_contain_text("5 images wait for it.")
    page.get_by_role("button", name="Enter the key").click()
    dialog.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Use this key").click()

    expect(page.locator(".tray-count")).to_contain_text("5 of 5 read", timeout=READ_TIMEOUT_MS)
    assert KEY not in page.evaluate("() => JSON.stringify({ ...localStorage })")


@pytest.mark.usefixtures("refusals_expected")
def test_the_models_page_asks_for_a_key_until_one_may_read(
    visit: Callable[[Service], Desk], strict_service: Service
) -> None:
    tab = visit(strict_service).open("#models").page
    problem = tab.locator(".models-problem")

    for key, says in (
        ("a wrong key", "does not know yours"),
        (KEY_WITHOUT_READ, "does not have the right"),
    ):
        give(tab, key)
        expect(problem).to_contain_text(says)
        assert violations(tab) == []
    give(tab, KEY)

    expect(tab.get_by_role("heading", name="bright-chest")).to_be_visible()
    expect(problem).to_have_count(0)


def give(tab: Page, key: str) -> None:
    """Enter a key where the page asks for one."""
    tab.get_by_role("button", name="Enter the key").click()
    tab.get_by_role("dialog").get_by_label("API key").fill(key)
    tab.get_by_role("button", name="Use this key").click()
