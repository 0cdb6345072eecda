"""One reader per upstream layout; each turns a folder into a table of images."""

from collections.abc import Mapping
from pathlib import Path

from training.datasets.base import (
    Dataset,
    OfficialSplit,
    Reader,
    check_labels,
    data_digest,
    of_splits,
)
from training.datasets.covid_chestxray import read_covid_chestxray
from training.datasets.kermany import read_kermany
from training.datasets.manifest import read_manifest
from training.errors import DataError, RecipeError

READERS: Mapping[str, Reader] = {
    "covid-chestxray": read_covid_chestxray,
    "kermany": read_kermany,
    "manifest": read_manifest,
}

__all__ = [
    "READERS",
    "Dataset",
    "OfficialSplit",
    "check_labels",
    "data_digest",
    "of_splits",
    "read_dataset",
]


def read_dataset(adapter: str, root: Path, split: OfficialSplit) -> Dataset:
    """List one official split of a data set.

    Raises:
        RecipeError: There is no such adapter.
        DataError: ``root`` is no folder, or not laid out as the adapter expects.
    """
    if adapter not in READERS:
        known = ", ".join(sorted(READERS))
        raise RecipeError(f"There is no adapter {adapter!r}. Known: {known}.")
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Give the data set's folder.")
    return READERS[adapter](root, split)
