"""The rules of accessibility, as axe knows them, in both colour themes."""

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

RULES = {
    "runOnly": [
        *("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"),
        "best-practice",
    ]
}
WEAR = """theme => {
    const { dataset } = document.documentElement;
    const worn = dataset.theme;
    dataset.theme = theme;
    return worn;
}"""


def violations(page: Page) -> list[str]:
    """What breaks a rule in the view that is open, light and dark."""
    chosen = page.evaluate(WEAR, "light")
    broken = [f"light: {problem}" for problem in _broken(page)]
    page.evaluate(WEAR, "dark")
    broken += [f"dark: {problem}" for problem in _broken(page)]
    page.evaluate(WEAR, chosen)
    return broken


def _broken(page: Page) -> list[str]:
    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{rule['id']}: {node['html'][:160]}" for rule in found for node in rule["nodes"]]
