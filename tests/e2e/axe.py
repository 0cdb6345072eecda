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


class Tour:
    """What is wrong with the views that a test comes by: broken rules, and scrolling sideways."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.wrong: list[str] = []

    def look(self, view: str) -> None:
        self.wrong += [f"{view}, {problem}" for problem in violations(self._page)]
        if self._page.evaluate("() => document.documentElement.scrollWidth > innerWidth"):
            self.wrong.append(f"{view}: it needs scrolling sideways")


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
