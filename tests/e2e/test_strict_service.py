import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import KEY, KEY_WITHOUT_READ, Watch
from tests.e2e.desk import Desk
from tests.e2e.images import normal_jpeg
from tests.e2e.services import Service


@pytest.mark.usefixtures("refusals_expected")
def test_a_key_is_asked_for_and_not_stored_and_a_full_queue_loses_nothing(
    tab: Page, watch: Watch, strict_service: Service
) -> None:
    watch.origin = strict_service.url
    desk = Desk(tab, strict_service.url).open()
    desk.pick({"chest.jpg": normal_jpeg()})
    expect(tab.locator(".banner.wait")).to_contain_text("The service asks for a key.")
    tab.get_by_role("dialog").get_by_label("API key").fill(KEY)

    tab.get_by_role("button", name="Use this key").click()
    expect(desk.decision).to_have_text("Normal")
    desk.pick({f"more-{number}.jpg": normal_jpeg(number) for number in range(4)})

    expect(tab.locator(".tray-count")).to_contain_text("5 of 5 read")
    assert KEY not in tab.evaluate("() => JSON.stringify({ ...localStorage })")


@pytest.mark.usefixtures("refusals_expected")
def test_the_models_page_asks_for_a_key_until_one_may_read(
    tab: Page, watch: Watch, strict_service: Service
) -> None:
    watch.origin = strict_service.url
    Desk(tab, strict_service.url).open("#models")
    problem = tab.locator(".models-problem")

    for key, says in (
        ("a wrong key", "does not know yours"),
        (KEY_WITHOUT_READ, "does not have the right"),
    ):
        give(tab, key)
        expect(problem).to_contain_text(says)
    give(tab, KEY)

    expect(tab.get_by_role("heading", name="bright-chest")).to_be_visible()
    expect(problem).to_have_count(0)


def give(tab: Page, key: str) -> None:
    """Enter a key where the page asks for one."""
    tab.get_by_role("button", name="Enter the key").click()
    tab.get_by_role("dialog").get_by_label("API key").fill(key)
    tab.get_by_role("button", name="Use this key").click()
