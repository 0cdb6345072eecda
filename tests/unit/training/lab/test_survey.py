import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from contract.errors import CorruptImage
from tests.exploration_data import Tree, pattern, tinted
from tests.synthetic import as_dicom, as_jpeg, as_png, as_tiff, synthetic_radiograph
from training.datasets.base import Dataset
from training.lab import survey
from training.lab.shortcuts import find_shortcut_values
from training.lab.survey import measure, take_survey

QUIET = Console(quiet=True)
GRAY = pattern(0)
DEEP = GRAY.astype(np.uint16) * 257


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "data").add_clean(images=3)


def facts(data: bytes) -> dict[str, Any]:
    return measure(data)[0]


def damage_unnoticed(file: Path) -> None:
    """Make a file unreadable without a change of its size or of the time of its last change."""
    before = file.stat()
    file.write_bytes(b"\0" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def transparent_red(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    red = np.zeros((*gray.shape, 4), np.uint8)
    red[..., 0] = 255
    return red


@pytest.mark.parametrize(
    ("data", "mode", "bits"),
    [
        (as_png(GRAY), "L", 8),
        (as_png(DEEP), "I;16", 16),
        (as_png(np.stack([GRAY] * 3, axis=-1)), "RGB", 8),
        (as_jpeg(GRAY), "L", 8),
        (as_tiff(DEEP), "I;16", 16),
        (as_tiff(tinted(GRAY)), "RGB", 8),
        (as_dicom(GRAY), "MONOCHROME2", 8),
        (as_dicom(GRAY.astype(np.uint16), BitsStored=12), "MONOCHROME2", 16),
    ],
)
def test_mode_and_depth_are_those_of_the_file(data: bytes, mode: str, bits: int) -> None:
    assert (facts(data)["mode"], facts(data)["bits"]) == (mode, bits)


@pytest.mark.parametrize("quality", [30, 60, 75, 95])
def test_the_quality_of_a_jpeg_is_estimated(quality: int) -> None:
    data = as_jpeg(synthetic_radiograph(64, 64), quality)

    assert facts(data)["jpeg_quality"] == pytest.approx(quality, abs=1.5)
    assert facts(as_png(GRAY))["jpeg_quality"] is None


@pytest.mark.parametrize("encode", [as_png, as_jpeg, as_tiff])
def test_a_tint_is_seen_in_every_format(encode: Any) -> None:
    read = facts(encode(tinted(np.full((48, 48), 200, np.uint8))))

    assert read["coloured"] == 1
    assert read["tint"] == pytest.approx(100, abs=3)


@pytest.mark.parametrize(
    "data",
    [as_jpeg(np.stack([GRAY] * 3, axis=-1), 50), as_png(transparent_red(GRAY)), as_dicom(GRAY)],
    ids=["gray in colour channels", "a transparent colour", "a DICOM in gray"],
)
def test_what_only_could_be_coloured_is_no_tint(data: bytes) -> None:
    assert facts(data)["coloured"] == 0


def test_a_palette_of_colours_is_a_tint() -> None:
    file = io.BytesIO()
    Image.fromarray(tinted(GRAY)).quantize(16).save(file, "PNG")

    assert facts(file.getvalue())["mode"] == "P"
    assert facts(file.getvalue())["coloured"] > 0.5


def test_the_tint_of_a_dicom_in_colour_is_unknown() -> None:
    assert facts(as_dicom(tinted(GRAY)))["tint"] is None


def test_gray_levels_are_measured_over_the_whole_image() -> None:
    pixels = np.zeros((40, 60), np.uint8)
    pixels[:, 30:] = 200

    read = facts(as_png(pixels))

    assert (read["mean_gray"], read["contrast"]) == (100, 100)
    assert (read["rows"], read["columns"], read["bytes"]) == (40, 60, len(as_png(pixels)))
    assert read["sha256"] == hashlib.sha256(as_png(pixels)).hexdigest()


def test_the_border_is_the_outer_twentieth_of_each_side() -> None:
    pixels = np.full((40, 60), 255, np.uint8)
    pixels[2:-2, 3:-3] = 0

    bright, dark = facts(as_png(pixels)), facts(as_png(255 - pixels))

    assert (bright["border_gray"], bright["border_black"]) == (255, 0)
    assert (dark["border_gray"], dark["border_black"]) == (0, 1)


def test_sixteen_bits_are_measured_on_the_scale_of_eight() -> None:
    read, thumbnail = measure(as_png(np.full((20, 20), 65535, np.uint16)))

    assert read["mean_gray"] == 255
    assert thumbnail.shape == (96, 96)
    assert thumbnail.dtype == np.uint8


def test_a_single_pixel_is_all_border() -> None:
    assert facts(as_png(np.full((1, 1), 9, np.uint8)))["border_gray"] == 9


def test_a_damaged_image_is_refused() -> None:
    with pytest.raises(CorruptImage):
        measure(as_png(GRAY)[:40])


def test_a_second_run_reads_no_image_again(tree: Tree, tmp_path: Path) -> None:
    first = take_survey(tree.dataset(), tmp_path / "kept", QUIET)
    for row in tree.rows:
        damage_unnoticed(tree.root / row.path)

    second = take_survey(tree.dataset(), tmp_path / "kept", QUIET)

    assert second.table.equals(first.table)
    assert np.array_equal(second.thumbnails, first.thumbnails)
    assert len(second.unreadable) == 0


def test_a_stopped_run_carries_on_where_it_was(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    really = Path.read_bytes

    def read_until_stopped(file: Path) -> bytes:
        if file.is_relative_to(tree.root):
            read.append(file)
            if len(read) == 5:
                raise KeyboardInterrupt
        return really(file)

    monkeypatch.setattr(Path, "read_bytes", read_until_stopped)
    with pytest.raises(KeyboardInterrupt):
        take_survey(tree.dataset(), tmp_path / "kept", QUIET)
    taken = take_survey(tree.dataset(), tmp_path / "kept", QUIET)

    assert len(taken.table) == 12
    # One was not finished when it was stopped.
    assert len(read) == 13
    assert len(set(read)) == 12


def test_a_changed_file_or_another_way_to_measure_is_measured_again(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_survey(tree.dataset(), tmp_path / "kept", QUIET)
    (tree.root / tree.rows[0].path).write_bytes(as_png(pattern(99)[:24]))
    changed = take_survey(tree.dataset(), tmp_path / "kept", QUIET)
    damage_unnoticed(tree.root / tree.rows[1].path)
    monkeypatch.setattr(survey, "_code_digest", lambda: "another")
    again = take_survey(tree.dataset(), tmp_path / "kept", QUIET)

    assert changed.table["rows"].tolist() == [24] + [48] * 11
    assert again.unreadable["path"].tolist() == [tree.rows[1].path]


def test_a_missing_file_is_looked_for_again_by_the_next_run(tree: Tree, tmp_path: Path) -> None:
    broken = tree.add("normal", b"no image")
    lost = tree.add("normal")
    (tree.root / lost).unlink()
    first = take_survey(tree.dataset(), tmp_path / "kept", QUIET)
    (tree.root / lost).write_bytes(as_png(pattern(1)))

    second = take_survey(tree.dataset(), tmp_path / "kept", QUIET)

    assert first.unreadable["path"].tolist() == [broken, lost]
    assert "No such file" in first.unreadable["reason"][1]
    assert second.unreadable["path"].tolist() == [broken]


def test_thumbnails_come_in_the_order_of_the_rows(tree: Tree, tmp_path: Path) -> None:
    tree.add("normal", b"no image")
    for gray in (7, 9):
        tree.add("normal", as_png(np.full((30, 30), gray, np.uint8)))

    taken = take_survey(tree.dataset(), tmp_path / "kept", QUIET)

    assert taken.thumbnails[-2:].max(axis=(1, 2)).tolist() == [7, 9]
    assert taken.table["mean_gray"].tolist()[-2:] == [7, 9]


@pytest.mark.data
def test_the_tint_of_real_tuberculosis_images_gives_them_away(
    data_dir: Path, tmp_path: Path
) -> None:
    folders = {
        "tuberculosis": "TB_Chest_Radiography_Database/Tuberculosis",
        "normal": "COVID-19_Radiography_Dataset/Normal/images",
    }
    rows = [
        {"path": str(file.relative_to(data_dir)), "label": label, "group": file.name}
        for label, folder in folders.items()
        for file in sorted((data_dir / folder).iterdir())[:60]
    ]
    table = pd.DataFrame(rows).assign(patient="", split="train", source="pooled", mask="")

    taken = take_survey(Dataset("real", "none", data_dir, table), tmp_path, QUIET)

    assert [(one.property, one.label) for one in find_shortcut_values(taken.table)] == [
        ("colour tint", "tuberculosis")
    ]
