"""A folder of images of several data sets, with a ``manifest.csv`` that labels and splits them."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from training.datasets.base import (
    Dataset,
    ImageRow,
    OfficialSplit,
    as_dataset,
    find_home,
    read_sheet,
)
from training.errors import DataError

NAME = "pooled images"
LICENCE = "of each image as manifest.csv says"
COLUMNS = ("path", "modality", "label", "source", "patient_id", "group", "split", "licence")
MODALITIES = ("xray", "ct")
SPLITS = {"train": "train", "val": "validation", "test": "test"}
SEPARATORS = re.compile(r"[-_\s]+")
# Every other label stays as it is.
LABELS = {"covid19": "covid-19", "covid": "covid-19", "noncovid": "other"}

EXPECTED = (
    f"manifest.csv with the columns {', '.join(COLUMNS)}, and below the same folder all the images "
    f"that it lists. A row belongs to the data if its modality is {' or '.join(MODALITIES)} and "
    f"its split {', '.join(SPLITS)}"
)


def read_manifest(root: Path, split: OfficialSplit) -> Dataset:
    """List the images of one split; ``train`` includes the rows of ``val``.

    Rows without a split are not listed: copies, and what is kept for other tests. A file that is
    listed again counts once. The table has one column more, ``licence``, with the terms of each
    image in short.

    Raises:
        DataError: The manifest is missing, or has another form, or lists no image of this
            split, or images that are not there, or one image in two ways.
    """
    home = find_home(root, (), lambda folder: (folder / "manifest.csv").is_file(), EXPECTED)
    sheet = read_sheet(home / "manifest.csv", COLUMNS, EXPECTED)
    listed = sheet[sheet["modality"].isin(MODALITIES) & (sheet["split"] != "")]
    if unknown := sorted(set(listed["split"]) - set(SPLITS)):
        raise DataError(f"manifest.csv has the split {', '.join(unknown)}. Expected {EXPECTED}.")
    listed = _listed_once(listed)
    dataset = as_dataset(NAME, LICENCE, home, _rows(listed), split)
    _check_files(dataset, split)
    terms = listed.set_index("path")["licence"].map(_without_remarks)
    return replace(dataset, table=dataset.table.assign(licence=dataset.table["path"].map(terms)))


def _listed_once(sheet: pd.DataFrame) -> pd.DataFrame:
    distinct = sheet.drop_duplicates(["path", "label", "group", "split"])
    again = distinct.loc[distinct["path"].duplicated(), "path"]
    if len(again):
        raise DataError(
            f"manifest.csv lists {again.iloc[0]} with two labels, groups or splits. "
            "Leave one row of each image."
        )
    return distinct


def _check_files(dataset: Dataset, split: OfficialSplit) -> None:
    home, table = dataset.root, dataset.table
    if table.empty:
        raise DataError(f"manifest.csv lists no image to {split}. Expected {EXPECTED}.")
    paths = list(table["path"])
    if missing := [path for path in paths if not (home / path).is_file()]:
        raise DataError(
            f"{len(missing)} of the {len(paths)} files that manifest.csv lists to {split} are not "
            f"in {home}, as {', '.join(missing[:3])}. Complete the copy, or remove their rows."
        )


def _rows(sheet: pd.DataFrame) -> Iterator[ImageRow]:
    for entry in sheet.itertuples():
        # Sheets of one hospital write nih_00001250 and nih-00001250 for one patient.
        patient = SEPARATORS.sub("-", entry.patient_id) or entry.group or entry.path
        yield ImageRow(
            path=entry.path,
            label=LABELS.get(entry.label, entry.label),
            patient=patient,
            group=entry.group or patient,
            split=SPLITS[entry.split],
            source=entry.source,
        )


def _without_remarks(licence: str) -> str:
    return re.sub(r" ?\(.*?\)|;.*", "", licence).strip()
