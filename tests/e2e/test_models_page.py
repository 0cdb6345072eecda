import re

from playwright.sync_api import Locator, expect

from tests.e2e.desk import Desk, Held


def test_each_model_shows_its_figures_plots_and_card(desk: Desk) -> None:
    desk.open("#models")
    article = desk.page.get_by_role("article", name="bright-chest")

    unfold(article, "Facts and thresholds", "Measured", "Plots", "Model card")

    expect(article).to_contain_text("AUROC")
    expect(article).to_contain_text("0.900 \u2013 1.000")
    expect(article).to_contain_text("fixed, for tests")
    expect(article.get_by_role("img", name="Plot: ROC curve")).to_be_visible()
    expect(article.locator("figcaption")).to_have_text("ROC curveAUROC 1.000, 10 images")
    expect(article.get_by_role("heading", name="A model for tests")).to_be_visible()
    expect(article.get_by_role("listitem").nth(1)).to_have_text("Never for patients")


def test_a_card_brings_no_script_and_keeps_its_links_to_the_web_alone(desk: Desk) -> None:
    desk.open("#models")
    article = desk.page.get_by_role("article", name="bright-chest")

    unfold(article, "Plots", "Model card")

    expect(article.get_by_text("It tells bright images")).to_be_visible()
    assert desk.page.title() == "Pneumoscope · Research only. Not for diagnosis."
    assert desk.page.locator("article script").count() == 0
    expect(article.get_by_role("link")).to_have_attribute("href", "https://example.org/tests")
    expect(article).to_contain_text("and a file say")
    expect(article).not_to_contain_text("stray")


def test_what_the_page_knows_of_a_model_is_in_spanish_and_the_rest_says_that_it_is_english(
    desk: Desk,
) -> None:
    desk.open("#models")
    desk.page.get_by_label("Language").select_option("es")
    article = desk.page.get_by_role("article", name="bright-chest")

    unfold(article, "Medido", "Gráficas", "Ficha del modelo")

    expect(article).to_contain_text("Distingue Normal y Neumonía en una radiografía.")
    expect(article.locator("figcaption")).to_contain_text("Curva ROC")
    expect(article.locator("td [lang=en]").first).to_be_visible()
    expect(article.get_by_role("listitem").first).to_have_text(
        "No es un producto sanitario. Nadie ha demostrado que usarlo ayude a un paciente."
    )
    expect(article.locator(".markdown [lang=es]").first).to_be_visible()
    expect(article.locator("[lang=en] .markdown")).to_contain_text("Never for patients")


def test_the_queue_goes_on_behind_the_models_page(desk: Desk) -> None:
    desk.page.get_by_role("link", name="Models").click()
    expect(desk.page.get_by_role("heading", name="bright-slice")).to_be_visible()

    desk.page.go_back()

    expect(desk.page.get_by_role("heading", name="Drop a chest image here")).to_be_visible()


def test_a_page_that_arrives_just_after_its_first_drawing_is_shown(closed: Desk) -> None:
    held = Held(closed.page, re.compile(r"/assets/ModelsPage-.*\.js$"))
    closed.page.clock.install()
    desk = closed.open()

    desk.page.clock.fast_forward("00:05")
    (part,) = held.wait_for(1)
    desk.page.clock.pause_at(desk.page.evaluate("Date.now() + 1000"))
    desk.page.get_by_role("link", name="Models").click()
    expect(desk.page.get_by_text("Loading")).to_be_visible()
    held.release()
    # The clock stands, and with it the effects of what was drawn, until the part is here.
    desk.page.evaluate("address => import(address)", part.request.url)
    desk.page.clock.resume()

    expect(desk.page.get_by_role("article", name="bright-chest")).to_be_visible()


def unfold(article: Locator, *titles: str) -> None:
    """Open what is closed until asked for."""
    for title in titles:
        article.locator("summary").get_by_text(title, exact=True).click()
