import json
import re
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.exploration_data import Tree, pattern, tinted
from tests.synthetic import as_jpeg, as_png
from training.datasets.base import Dataset, ImageRow
from training.errors import DataError, WriteFailed
from training.lab.explore import Exploration, explore

QUIET = Console(quiet=True)
EVIL = '<b onclick="x">&'
VOID = {"meta", "img", "br"}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Exploration:
    tree = Tree(tmp_path_factory.mktemp("clean")).add_clean(images=12)
    return explore(tree.dataset(), tmp_path_factory.mktemp("out"), QUIET)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exploration, Path]:
    tree = Tree(tmp_path_factory.mktemp("faulty")).add_clean(images=12)
    for number in range(24):
        gray = pattern(1000 + number)
        tree.add("tuberculosis", as_png(tinted(gray) if number % 2 else gray), source="one scanner")
    tree.add("normal", as_png(pattern(2000)))
    tree.add("normal", as_png(pattern(2000)), split="test")
    tree.add("pneumonia", as_png(pattern(2001)))
    tree.add("pneumonia", as_jpeg(pattern(2001)), split="test")
    tree.add("normal", as_png(pattern(2002)))
    tree.add("pneumonia", as_png(pattern(2002)))
    tree.add("normal", patient="seen twice")
    tree.add("normal", patient="seen twice", split="test")
    tree.add("pneumonia", as_png(pattern(2003))[:200])
    out = tmp_path_factory.mktemp("out")
    return explore(tree.dataset(), out, QUIET), out


def sentence(exploration: Exploration, *words: str) -> str:
    sentences = [finding.sentence for finding in exploration.findings]
    return next(one for one in sentences if all(word in one for word in words))


def test_a_data_set_without_a_fault_has_no_finding(clean: Exploration) -> None:
    assert clean.findings == ()
    assert clean.clusters == ()
    assert len(clean.properties) == 12


def test_a_tint_is_named_as_what_tells_the_class(faulty: tuple[Exploration, Path]) -> None:
    named = sentence(faulty[0], "The colour tint alone tells tuberculosis")

    assert "AUROC 0.7" in named


def test_a_tint_that_few_images_have_is_named_for_those(
    faulty: tuple[Exploration, Path],
) -> None:
    named = sentence(faulty[0], "images with a colour tint")

    assert named == (
        "Of the 12 images with a colour tint, 100 % are tuberculosis; of all images, 30 %."
    )


def test_a_class_from_one_source_is_named(faulty: tuple[Exploration, Path]) -> None:
    named = sentence(faulty[0], "All images of tuberculosis")

    assert "come from one source, one scanner, which holds nothing else" in named


def test_a_file_in_two_splits_is_named(faulty: tuple[Exploration, Path]) -> None:
    named = sentence(faulty[0], "1 picture is in several splits byte for byte")

    assert "train/normal/72.png (train) and test/normal/73.png (test)" in named


def test_a_recompressed_copy_in_two_splits_is_named(faulty: tuple[Exploration, Path]) -> None:
    named = sentence(faulty[0], "1 picture is in several splits with small changes")

    assert "train/pneumonia/74.png (train) and test/pneumonia/75.png (test)" in named


def test_a_picture_with_two_labels_is_named(faulty: tuple[Exploration, Path]) -> None:
    named = sentence(faulty[0], "in several classes byte for byte")

    assert "train/normal/76.png (normal) and train/pneumonia/77.png (pneumonia)" in named


def test_a_patient_in_two_splits_is_named_by_images_and_not_by_name(
    faulty: tuple[Exploration, Path],
) -> None:
    named = sentence(faulty[0], "1 patient is in several splits")

    assert "test/normal/79.png and train/normal/78.png" in named
    assert "seen twice" not in (faulty[1] / "index.html").read_text(encoding="utf-8")


def test_a_picture_in_two_sources_is_named(faulty: tuple[Exploration, Path]) -> None:
    assert sentence(faulty[0], "pictures are in several sources byte for byte")


def test_a_class_that_a_split_lacks_is_named(faulty: tuple[Exploration, Path]) -> None:
    gaps = [finding.sentence for finding in faulty[0].findings if finding.kind == "gap"]

    assert gaps == [
        "The split test has no image of tuberculosis: nothing can be measured of it there."
    ]


def test_an_unreadable_image_is_listed_with_its_reason_and_left_out(
    faulty: tuple[Exploration, Path],
) -> None:
    exploration, out = faulty

    assert sentence(exploration, "1 of 81 images cannot be read (1 of pneumonia)")
    assert [(one["path"], one["reason"]) for one in exploration.unreadable] == [
        ("train/pneumonia/80.png", "The PNG is truncated or damaged.")
    ]
    assert len(pd.read_csv(out / "survey.csv")) == 80


def test_counts_are_by_class_split_and_source(clean: Exploration) -> None:
    counts = {(one["label"], one["split"], one["source"]): one["images"] for one in clean.counts}

    assert counts == {
        (label, split, source): 6
        for label in ("normal", "pneumonia")
        for split in ("train", "test")
        for source in ("east", "west")
    }


def test_the_json_file_is_what_was_returned(faulty: tuple[Exploration, Path]) -> None:
    exploration, out = faulty

    written = json.loads((out / "exploration.json").read_bytes())
    assert written == json.loads(json.dumps(asdict(exploration)))


def test_one_class_of_one_image_is_explored_too(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "data")
    tree.add("normal", as_png(np.zeros((5, 3), np.uint8)), patient="")

    exploration = explore(tree.dataset(), tmp_path / "out", QUIET)

    assert exploration.findings == ()
    assert exploration.properties == ()
    assert exploration.counts[0]["patients"] == 0


def test_a_data_set_that_cannot_be_read_at_all_says_why(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "data")
    tree.add("normal", b"no image")
    nothing = Dataset("none", "none", tmp_path, pd.DataFrame(columns=list(ImageRow._fields)))

    with pytest.raises(DataError, match=r"No image .* can be read.*are no image"):
        explore(tree.dataset(), tmp_path / "out", QUIET)
    with pytest.raises(DataError, match="lists none"):
        explore(nothing, tmp_path / "out", QUIET)


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "data").add_clean(images=1)
    (tmp_path / "out").touch()

    with pytest.raises(WriteFailed, match="out"):
        explore(tree.dataset(), tmp_path / "out", QUIET)


class Outline(HTMLParser):
    """Fail at a tag that is closed and not open; keeps the addresses and the text."""

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
    assert len(outline.alternatives) == 7
    assert all(outline.alternatives)
