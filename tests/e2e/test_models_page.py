from playwright.sync_api import expect

from tests.e2e.desk import Desk


def test_each_model_shows_its_figures_plots_and_card(desk: Desk) -> None:
    desk.open("#models")
    article = desk.page.get_by_role("article", name="bright-chest")

    expect(article).to_contain_text("AUROC")
    expect(article).to_contain_text("0.900 \u2013 1.000")
    expect(article).to_contain_text("fixed, for tests")
    expect(article.get_by_role("img", name="Plot: roc")).to_be_visible()
    article.get_by_text("Model card").click()
    expect(article.get_by_role("heading", name="A model for tests")).to_be_visible()
    expect(article.get_by_role("listitem").first).to_have_text("Never for patients")


def test_a_card_cannot_bring_a_script(desk: Desk) -> None:
    desk.open("#models")
    article = desk.page.get_by_role("article", name="bright-chest")
    article.get_by_text("Model card").click()

    expect(article.get_by_text("It tells bright images")).to_be_visible()
    assert desk.page.title() == "Pneumoscope · Research only. Not for diagnosis."
    assert desk.page.locator("article script").count() == 0


def test_the_queue_goes_on_behind_the_models_page(desk: Desk) -> None:
    desk.open()
    desk.page.get_by_role("link", name="Models").click()
    expect(desk.page.get_by_role("heading", name="bright-slice")).to_be_visible()

    desk.page.go_back()

    expect(desk.page.get_by_role("heading", name="Drop a chest image here")).to_be_visible()
