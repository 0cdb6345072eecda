import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from tests.exploration_data import Tree, pattern
from tests.synthetic import as_png
from training.explore.exploration import explore

QUIET = Console(quiet=True)
EVIL = '<b onclick="x">&'
VOID = {"meta", "img", "br"}


class Outline(HTMLParser):
    """Fails at a tag that is closed and not open; keeps the addresses and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.targets: list[str] = []
        self.alternatives: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        assert not any(name.startswith("on") for name in values)
        self.addresses += [values[name] or "" for name in ("src", "href") if name in values]
        self.targets += [f"#{values['id']}"] if "id" in values else []
        self.alternatives += [values.get("alt") or ""] if tag == "img" else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    tree = Tree(tmp_path_factory.mktemp("data")).add_clean(images=3)
    tree.add(EVIL, as_png(pattern(500)), source=f"{EVIL} clinic")
    tree.add(EVIL, as_png(pattern(500)), source=f"{EVIL} clinic")
    tree.add(EVIL, b"no image", source=f"{EVIL} clinic")
    out = tmp_path_factory.mktemp("out")
    explore(tree.dataset(name=f"{EVIL} set"), out, QUIET)
    return (out / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    parsed.close()
    return parsed


def test_every_tag_is_closed(outline: Outline) -> None:
    assert outline.open == []


def test_it_needs_nothing_from_outside(page: str, outline: Outline) -> None:
    assert not re.search(r"https?:|//|@import|url\(|<script|<link", page.split("data:")[0])
    assert all(
        address.startswith("data:image/png;base64,") or address in outline.targets
        for address in outline.addresses
    )
    assert "default-src 'none'" in page


def test_names_are_text_and_never_markup(page: str, outline: Outline) -> None:
    assert "<b" not in page.replace("<body", "").replace("<br", "")
    assert outline.text.count(EVIL) > 5


def test_every_picture_is_embedded_and_says_what_it_shows(outline: Outline) -> None:
    assert len(outline.alternatives) == 8
    assert all(outline.alternatives)


def test_the_page_follows_light_and_dark(page: str) -> None:
    assert 'name="color-scheme" content="light dark"' in page


def test_pictures_lie_beside_the_page_too(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "data").add_clean(images=3)

    explore(tree.dataset(), tmp_path / "out", QUIET)

    names = {file.name for file in (tmp_path / "out" / "pictures").iterdir()}
    assert {"means.png", "differences.png", "histograms.png", "sizes.png"} < names
    assert "shortcuts.png" in names
