import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from rich.console import Console

from tests.exploration_data import Tree, pattern
from tests.synthetic import as_png
from training.datasets.base import Dataset
from training.errors import WorkdirIncomplete
from training.explore import survey
from training.explore.measurement import Measurement, measure
from training.explore.shortcuts import find_telltales
from training.explore.store import Store, open_store

QUIET = Console(quiet=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "measurements.sqlite") as opened:
        yield opened


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "data").add_clean(images=3)


def damage_unnoticed(file: Path) -> None:
    """Make a file unreadable without a change of its size or of the time of its last change."""
    before = file.stat()
    file.write_bytes(b"\0" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_second_run_reads_no_image_again(tree: Tree, store: Store) -> None:
    first = survey.take_survey(tree.dataset(), store, QUIET)
    for row in tree.rows:
        damage_unnoticed(tree.root / row.path)

    second = survey.take_survey(tree.dataset(), store, QUIET)

    assert second.table.equals(first.table)
    assert len(second.unreadable) == 0


def test_a_stopped_run_carries_on_where_it_was(
    tree: Tree, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = iter(range(10))

    def measure_until_stopped(data: bytes) -> tuple[Measurement, NDArray[np.uint8]]:
        if next(unread, None) is None:
            raise KeyboardInterrupt
        return measure(data)

    with monkeypatch.context() as patch:
        patch.setattr(survey, "CHUNK", 4)
        patch.setattr(survey, "measure", measure_until_stopped)
        with pytest.raises(KeyboardInterrupt):
            survey.take_survey(tree.dataset(), store, QUIET)
    kept = len(store.keys())
    for row in tree.rows[:kept]:
        damage_unnoticed(tree.root / row.path)

    taken = survey.take_survey(tree.dataset(), store, QUIET)

    assert kept == 8
    assert len(taken.table) == 12


def test_a_changed_file_is_measured_again_and_its_old_entry_forgotten(
    tree: Tree, store: Store
) -> None:
    survey.take_survey(tree.dataset(), store, QUIET)
    (tree.root / tree.rows[0].path).write_bytes(as_png(pattern(99)[:24]))

    taken = survey.take_survey(tree.dataset(), store, QUIET)

    assert taken.table["rows"].tolist() == [24] + [48] * 11
    assert len(store.keys()) == 12


def test_an_unreadable_image_is_not_decoded_again_but_a_missing_one_is_looked_for(
    tree: Tree, store: Store
) -> None:
    broken = tree.add("normal", b"no image")
    lost = tree.add("normal")
    (tree.root / lost).unlink()
    first = survey.take_survey(tree.dataset(), store, QUIET)
    (tree.root / lost).write_bytes(as_png(pattern(1)))

    second = survey.take_survey(tree.dataset(), store, QUIET)

    assert first.unreadable["path"].tolist() == [broken, lost]
    assert "No such file" in first.unreadable["reason"][1]
    assert second.unreadable["path"].tolist() == [broken]


def test_thumbnails_come_in_the_order_of_the_rows(tree: Tree, store: Store) -> None:
    tree.add("normal", as_png(np.full((30, 30), 7, np.uint8)))
    tree.add("normal", as_png(np.full((30, 30), 9, np.uint8)))

    taken = survey.take_survey(tree.dataset(), store, QUIET)

    assert [int(plane.max()) for plane in taken.thumbnails([13, 12])] == [9, 7]


def test_a_damaged_store_says_what_to_remove(tmp_path: Path) -> None:
    file = tmp_path / "measurements.sqlite"
    file.write_bytes(b"no database" * 100)

    with (
        pytest.raises(WorkdirIncomplete, match=r"measurements\.sqlite is damaged.*Remove it"),
        open_store(file),
    ):
        pass


@pytest.mark.data
def test_the_tint_of_real_tuberculosis_images_gives_them_away(data_dir: Path, store: Store) -> None:
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

    taken = survey.take_survey(Dataset("real", "none", data_dir, table), store, QUIET)

    assert [(one.property, one.label) for one in find_telltales(taken.table)] == [
        ("colour tint", "tuberculosis")
    ]
