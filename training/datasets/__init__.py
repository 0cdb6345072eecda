"""One adapter per upstream layout; each turns a folder into a table of images."""

from pathlib import Path

from training.datasets.base import Adapter, Dataset, OfficialSplit, check_labels, data_digest
from training.datasets.kermany import KermanyAdapter
from training.errors import DataError, RecipeError

ADAPTERS: dict[str, type[Adapter]] = {"kermany": KermanyAdapter}

__all__ = ["ADAPTERS", "Dataset", "OfficialSplit", "check_labels", "data_digest", "read_dataset"]


def read_dataset(adapter: str, root: Path, split: OfficialSplit) -> Dataset:
    """List one official split of a data set.

    Raises:
        RecipeError: There is no such adapter.
        DataError: ``root`` is no folder, or not laid out as the adapter expects.
    """
    if adapter not in ADAPTERS:
        known = ", ".join(sorted(ADAPTERS))
        raise RecipeError(f"There is no adapter {adapter!r}. Known: {known}.")
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Give the data set's folder.")
    return ADAPTERS[adapter]().read(root, split)
