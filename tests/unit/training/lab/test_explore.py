import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape
from rich.console import Console

from tests.exploration_data import Tree, pattern, tinted
from tests.synthetic import as_dicom, as_jpeg, as_png, as_tiff
from training.datasets import Dataset, ImageRow
from training.errors import DataError
from training.lab.explore import explore, measure, measure_properties, take_survey

QUIET = Console(quiet=True)
GRAY = pattern(0)
DEEP = GRAY.astype(np.uint16) * 257
EVEN = np.full((48, 48), 200, np.uint8)
EVIL = '<b onclick="x">&'


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
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


def test_a_data_set_without_a_fault_has_no_finding(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "data").add_clean(images=12)

    assert explore(tree.dataset(), tmp_path / "out", QUIET) == []


def test_what_gives_a_class_away_or_spoils_a_split_is_named(
    faulty: tuple[list[str], Path],
) -> None:
    findings, out = faulty

    for expected in (
        r"The colour tint alone tells tuberculosis with AUROC 0\.[67]",
        r"All images of tuberculosis come from one source, one scanner: what a model",
        r"pictures stand under more than one label, such as train/normal/76\.png and train",
        r"pictures stand under more than one split, such as test/normal/73\.png and",
        r"pictures stand under more than one source",
        r"1 patients stand under more than one split, such as test/normal/79\.png and",
        r"1 of 81 images cannot be read: 1 of pneumonia",
    ):
        assert any(re.search(expected, finding) for finding in findings), findings
    page = (out / "index.html").read_text("utf-8")
    assert "seen twice" not in page
    assert "The PNG is truncated or damaged." in page
    # A recompressed copy is the same picture.
    assert "train/pneumonia/74.png" in page
    assert "test/pneumonia/75.png" in page
    assert len(pd.read_csv(out / "survey.csv")) == 80


def test_a_property_is_judged_on_patients_that_the_tree_has_not_seen(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for number in range(40):
        level = 40 + 100 * (number % 2)
        tree.add(("normal", "pneumonia")[number % 2], as_png(np.full((24, 24), level, np.uint8)))
    table, _, _ = take_survey(tree.dataset(), QUIET)

    found = measure_properties(table).set_index(["property", "label"])

    assert found.loc[("mean gray", "pneumonia"), "auroc"] == 1
    assert found.loc[("image size", "pneumonia"), "auroc"] == pytest.approx(0.5, abs=0.15)
    assert (found["lower"] <= found["auroc"]).all()


def test_one_class_of_one_image_is_explored_too(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "data")
    tree.add("normal", as_png(np.zeros((5, 3), np.uint8)), patient="")

    assert explore(tree.dataset(), tmp_path / "out", QUIET) == []
    assert "Not measured" in (tmp_path / "out" / "index.html").read_text()


def test_a_data_set_that_cannot_be_read_at_all_says_why(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "data")
    tree.add("normal", b"no image")
    nothing = Dataset("none", "none", tmp_path, pd.DataFrame(columns=list(ImageRow._fields)))

    with pytest.raises(DataError, match=r"No image .* can be read.*are no image"):
        explore(tree.dataset(), tmp_path / "out", QUIET)
    with pytest.raises(DataError, match="lists none"):
        explore(nothing, tmp_path / "out", QUIET)


def test_the_page_needs_nothing_else_and_names_are_text(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "data").add_clean(images=3)
    for data in (as_png(pattern(500)), as_png(pattern(500)), b"no image"):
        tree.add(EVIL, data, source=f"{EVIL} clinic")
    explore(tree.dataset(name=f"{EVIL} set"), tmp_path / "out", QUIET)

    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")

    [address] = re.findall(r'(?:src|href)="([^"]{0,22})', page)
    assert address == "data:image/png;base64,"
    assert "default-src 'none'" in page
    assert EVIL not in page
    assert page.count(str(escape(EVIL))) > 5
    assert not re.search(r"<script|<[^>]*\son\w+=", page)


@pytest.mark.parametrize(
    ("data", "mode", "bits", "tint"),
    [
        (as_png(GRAY), "L", 8, 0),
        (as_png(DEEP), "I;16", 16, 0),
        (as_png(np.stack([GRAY] * 3, axis=-1)), "RGB", 8, 0),
        (as_jpeg(np.stack([GRAY] * 3, axis=-1), 50), "RGB", 8, 0),
        (as_dicom(GRAY), "MONOCHROME2", 8, 0),
        (as_dicom(GRAY.astype(np.uint16), BitsStored=12), "MONOCHROME2", 16, 0),
        # A transparent colour is none.
        (as_png(np.full((48, 48, 4), (255, 0, 0, 0), np.uint8)), "RGBA", 8, 0),
        *((encode(tinted(EVEN)), "RGB", 8, 100) for encode in (as_png, as_jpeg, as_tiff)),
    ],
)
def test_mode_depth_and_tint_are_those_of_the_file(
    data: bytes, mode: str, bits: int, tint: int
) -> None:
    facts, thumbnail = measure(data)

    assert (facts["mode"], facts["bits"]) == (mode, bits)
    assert facts["tint"] == (pytest.approx(tint, abs=3) if tint else 0)
    assert thumbnail.shape == (96, 96)


def test_grays_are_measured_over_the_image_and_over_its_border() -> None:
    pixels = np.full((40, 60), 255, np.uint8)
    pixels[2:-2, 3:-3] = 0

    facts, _ = measure(as_png(pixels))

    assert facts["border_gray"] == 255
    assert facts["mean_gray"] == pytest.approx(pixels.mean())
    assert (facts["rows"], facts["columns"], facts["bytes"]) == (40, 60, len(as_png(pixels)))
