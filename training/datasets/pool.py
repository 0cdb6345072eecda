"""The data sets of a recipe, as one: read by their adapters, renamed, put together."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from training.config import DataConfig, SourceConfig
from training.datasets import Dataset, OfficialSplit, read_dataset
from training.errors import RecipeError


def read_pool(config: DataConfig, root: Path, splits: Sequence[OfficialSplit]) -> Dataset:
    """List the images of a recipe, without those of the sources that it leaves out.

    Args:
        config: The data sets, and what their labels are called here.
        root: The folder that holds them; for a single data set its own folder will do.
        splits: Which official splits to list.

    Raises:
        RecipeError: There is no such adapter, or no such source.
        DataError: A folder is missing, or not laid out as its adapter expects.
    """
    return _read_all(config, root, splits, left_out=False)


def read_left_out(config: DataConfig, root: Path) -> Dataset:
    """List the images of the sources that a recipe leaves out, of every official split.

    Raises:
        RecipeError: The recipe leaves none out, or there is no such adapter or source.
        DataError: A folder is missing, or not laid out as its adapter expects.
    """
    if not config.leave_out:
        raise RecipeError("The recipe leaves no source out: there is nothing to evaluate.")
    return _read_all(config, root, ("train", "test"), left_out=True)


def _read_all(
    config: DataConfig, root: Path, splits: Sequence[OfficialSplit], *, left_out: bool
) -> Dataset:
    parts = [_read(source, root, splits) for source in config.sources]
    known = sorted({name for part in parts for name in part.table["source"]})
    if unknown := sorted(set(config.leave_out) - set(known)):
        raise RecipeError(
            f"There is no source {', '.join(unknown)} to leave out. Known: {', '.join(known)}."
        )
    chosen = [
        _described(_rows(part, part.table["source"].isin(config.leave_out) == left_out))
        for part in parts
    ]
    return chosen[0] if len(chosen) == 1 else _joined(config.sources, chosen, root)


def _read(source: SourceConfig, root: Path, splits: Sequence[OfficialSplit]) -> Dataset:
    parts = [read_dataset(source.adapter, root / source.folder, split) for split in splits]
    table = pd.concat([part.table for part in parts], ignore_index=True)
    kept = ~table["label"].isin(source.ignore)
    if source.only:
        kept &= table["source"].isin(source.only)
    chosen = _rows(_with_table(parts[0], table), kept).table
    renamed = chosen.assign(
        label=chosen["label"].replace(source.labels),
        source=chosen["source"].replace(source.rename),
    )
    return _with_table(parts[0], renamed)


def _described(dataset: Dataset) -> Dataset:
    """Where an adapter pools data sets with a licence each: those of the images that are left."""
    if "licence" not in dataset.table:
        return dataset
    table = dataset.table.drop(columns="licence")
    return Dataset(
        name=f"{dataset.name}: {', '.join(sorted(set(table['source'])))}",
        licence=_listed(dataset.table["licence"].value_counts().index),
        root=dataset.root,
        table=table,
    )


def _joined(sources: Sequence[SourceConfig], parts: Sequence[Dataset], root: Path) -> Dataset:
    """One data set with paths below one root, in which no two patients share a name."""
    tables = [
        _below(part, root, f"{source.adapter} in {source.folder}: ")
        for source, part in zip(sources, parts, strict=True)
    ]
    return Dataset(
        name=_listed(part.name for part in parts),
        licence=_listed(part.licence for part in parts),
        root=root,
        table=pd.concat(tables, ignore_index=True),
    )


def _below(part: Dataset, root: Path, owner: str) -> pd.DataFrame:
    folder = part.root.relative_to(root)
    prefix = "" if folder == Path() else f"{folder.as_posix()}/"
    moved = {key: _prefixed(part.table[key], prefix) for key in ("path", "mask")}
    named = {key: _prefixed(part.table[key], owner) for key in ("patient", "group")}
    return part.table.assign(**moved, **named)


def _prefixed(names: pd.Series, prefix: str) -> pd.Series:
    return names.map(lambda name: name and f"{prefix}{name}")


def _listed(names: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(filter(None, names))) or "not stated"


def _rows(dataset: Dataset, kept: pd.Series) -> Dataset:
    return _with_table(dataset, dataset.table[kept].reset_index(drop=True))


def _with_table(dataset: Dataset, table: pd.DataFrame) -> Dataset:
    return Dataset(dataset.name, dataset.licence, dataset.root, table)
