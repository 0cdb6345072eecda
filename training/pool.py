"""The data sets of a recipe, as one: read by their adapters, renamed, put together."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from training.config import DataConfig, SourceConfig
from training.datasets import Dataset, OfficialSplit, of_splits, read_dataset
from training.errors import RecipeError
from training.splits import joined_groups


def read_pool(
    config: DataConfig, root: Path, splits: Sequence[OfficialSplit], *, left_out: bool = False
) -> Dataset:
    """List the images of a recipe.

    ``root`` holds the data sets; for a single one its own folder will do. ``left_out`` lists the
    sources that the recipe leaves out, in place of all others.

    Raises:
        RecipeError: There is no such adapter, or no such source to leave out.
        DataError: A folder is missing, or not laid out as its adapter expects.
    """
    if left_out and not config.leave_out:
        raise RecipeError("The recipe leaves no source out: there is nothing to evaluate.")
    several = len(config.sources) > 1
    # Of several folders one may test a patient whom another one trains on.
    listed: Sequence[OfficialSplit] = ("train", "test") if several and "test" in splits else splits
    parts = [_read(source, root, listed) for source in config.sources]
    known = sorted({name for part in parts for name in part.table["source"]})
    if unknown := sorted(set(config.leave_out) - set(known)):
        raise RecipeError(
            f"There is no source {', '.join(unknown)} to leave out. Known: {', '.join(known)}."
        )
    chosen = []
    for part in parts:
        kept = part.table["source"].isin(config.leave_out) == left_out
        chosen.append(_described(replace(part, table=part.table[kept].reset_index(drop=True))))
    if not several:
        return chosen[0]
    return of_splits(_joined(config.sources, chosen, root), splits)


def _read(source: SourceConfig, root: Path, splits: Sequence[OfficialSplit]) -> Dataset:
    parts = [read_dataset(source.adapter, root / source.folder, split) for split in splits]
    table = pd.concat([part.table for part in parts], ignore_index=True)
    kept = ~table["label"].isin(source.ignore)
    if source.only:
        kept &= table["source"].isin(source.only)
    chosen = table[kept]
    label, origin = chosen["label"].replace(source.labels), chosen["source"].replace(source.rename)
    return replace(parts[0], table=chosen.assign(label=label, source=origin))


def _described(dataset: Dataset) -> Dataset:
    """Where an adapter pools data sets with a licence each: those of the images that are left."""
    if "licence" not in dataset.table:
        return dataset
    sources = ", ".join(sorted(set(dataset.table["source"])))
    return replace(
        dataset,
        name=f"{dataset.name}: {sources}",
        licence=_listed(dataset.table["licence"].value_counts().index),
        table=dataset.table.drop(columns="licence"),
    )


def _joined(sources: Sequence[SourceConfig], parts: Sequence[Dataset], root: Path) -> Dataset:
    """One data set below one root: a patient has one group, and who is trained on is not tested."""
    tables = [
        _below(part, root, f"{source.adapter} in {source.folder}: ")
        for source, part in zip(sources, parts, strict=True)
    ]
    table = pd.concat(tables, ignore_index=True)
    rows = pd.Series(table.index).groupby(table["patient"])
    table["group"] = joined_groups(
        list(table["group"]), zip(rows.transform("first"), table.index, strict=True)
    )
    trained = table["split"].ne("test").groupby(table["patient"]).transform("any")
    return Dataset(
        name=_listed(part.name for part in parts),
        licence=_listed(part.licence for part in parts),
        root=root,
        table=table[~trained | table["split"].ne("test")],
    )


def _below(part: Dataset, root: Path, owner: str) -> pd.DataFrame:
    folder = part.root.relative_to(root)
    prefix = "" if folder == Path() else f"{folder.as_posix()}/"
    # Two folders may have images of one patient of one source; all else is an owner's own.
    patient = part.table["source"] + ": " + part.table["patient"]
    return part.table.assign(
        path=prefix + part.table["path"], patient=patient, group=owner + part.table["group"]
    )


def _listed(names: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(filter(None, names))) or "not stated"
