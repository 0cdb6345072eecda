"""A recipe's data: listed and pooled, and its images decoded once as model inputs."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

import contract
from contract.errors import ImageError
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from training.atomic import atomic_path, write_text
from training.config import DataConfig, Recipe, SourceConfig
from training.datasets import (
    Dataset,
    OfficialSplit,
    check_labels,
    data_digest,
    of_splits,
    read_dataset,
)
from training.errors import DataError, RecipeError, WorkdirMismatch
from training.splits import joined_groups

if TYPE_CHECKING:
    # Whoever only lists or reads images, such as ``explore``, need not wait for the framework.
    from training.workdir import TrainedModel, Workdir

Content = TypeVar("Content")
Part = Literal["development", "test", "left-out"]
Split = Literal["test", "validation", "left-out"]


@dataclass(frozen=True, slots=True)
class Source:
    """The readable images of a data set.

    ``table`` is the data set's table without the unreadable images; its index numbers the rows of
    ``images``, uint8, shape (cached images, height, width, 1). ``classes``, int, shape (cached
    images,), is the position of each label among the recipe's classes; ``sources`` numbers where
    each was gathered. ``unreadable`` counts what was skipped, of all splits that were read.
    """

    dataset: Dataset
    digest: str
    table: pd.DataFrame
    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    sources: NDArray[np.int64]
    unreadable: int = 0

    def rows(self, split: str) -> NDArray[np.int64]:
        """The rows of ``images`` that belong to a split."""
        return self.table.index[self.table["split"] == split].to_numpy()


def list_images(recipe: Recipe, data: Path, part: Part) -> tuple[Dataset, str]:
    """List the images of a part of a recipe's data, with their digest.

    ``development`` is what it is trained on, and what its own test split is drawn from; without
    ``split.test_share`` the names of the official test images are not even listed. ``test`` is the
    official test split; ``left-out`` are the sources that it leaves out, which need not have every
    class. Raises ``RecipeError`` or ``DataError`` where these do not fit.
    """
    splits: tuple[OfficialSplit, ...] = ("train", "test")
    if part == "test":
        splits = ("test",)
    elif part == "development" and recipe.split.test_share is None:
        splits = ("train",)
    dataset = read_pool(recipe.data, data, splits, left_out=part == "left-out")
    classes = _found(dataset, recipe) if part == "left-out" else recipe.data.classes
    check_labels(dataset.table, classes, f"The {part} set")
    return dataset, data_digest(dataset)


def read_training_data(trained: "TrainedModel", data: Path) -> tuple[Dataset, str]:
    """List what a model was trained on again, with its digest; or raise ``WorkdirMismatch``."""
    dataset, digest = list_images(trained.config, data, "development")
    if digest != trained.provenance.data_digest:
        raise WorkdirMismatch(
            "These are not the images of the training: their digest differs. "
            "Give the folder that pneumo-train fit was given."
        )
    return dataset, digest


def load_source(
    dataset: Dataset, digest: str, recipe: Recipe, work: "Workdir", name: Part, console: Console
) -> Source:
    """Decode a data set into the workdir's cache; list and skip what cannot be read.

    The list is ``unreadable-<name>.csv`` in the workdir. Raises ``DataError`` where no image of a
    class can be read.
    """
    images, unreadable = cached_images(dataset, digest, recipe.preprocessing, work.cache, console)
    unusable = pd.DataFrame(unreadable.items(), columns=["path", "reason"])
    work.write_table(work.root / f"unreadable-{name}.csv", unusable)
    if len(unusable):
        console.print(f"{len(unusable)} images cannot be read: see unreadable-{name}.csv")
    tell_dropped(dataset, console)
    table = dataset.table[~dataset.table["path"].isin(unusable["path"])]
    check_labels(table, _found(dataset, recipe), f"What can be read of the {name} images")
    order = {label: number for number, label in enumerate(recipe.data.classes)}
    classes = dataset.table["label"].map(order).to_numpy(np.int64)
    sources = np.unique(dataset.table["source"].to_numpy(np.str_), return_inverse=True)[1]
    return Source(dataset, digest, table, images, classes, sources, len(unusable))


def load_split(
    trained: "TrainedModel", data: Path, work: "Workdir", split: Split, console: Console
) -> Source:
    """Load what a trained model is evaluated on; ``WorkdirMismatch`` where it is something else."""
    recipe = trained.config
    if split == "left-out" or (split == "test" and recipe.split.test_share is None):
        return load_source(*list_images(recipe, data, split), recipe, work, split, console)
    listed = read_training_data(trained, data)
    source = load_source(*listed, recipe, work, "development", console)
    used = work.read_split(source.table)
    return replace(source, table=used[used["split"] == split])


def read_pool(
    config: DataConfig, root: Path, splits: Sequence[OfficialSplit], *, left_out: bool = False
) -> Dataset:
    """List the images of a recipe.

    ``root`` holds the data sets; for a single one its own folder will do. ``left_out`` lists the
    sources that the recipe leaves out, in place of all others. Raises ``RecipeError`` where there
    is no such adapter or source, ``DataError`` where a folder is missing or not as it expects.
    """
    if left_out and not config.leave_out:
        raise RecipeError("The recipe leaves no source out: there is nothing to evaluate.")
    # One split may test a patient whom another one trains on.
    listed: Sequence[OfficialSplit] = ("train", "test") if "test" in splits else splits
    try:
        parts = [_renamed(source, root, listed) for source in config.sources]
    except DataError:
        if len(config.sources) > 1 or listed == splits:
            raise
        # Whoever has the test images alone may ask for their figures.
        parts = [_renamed(source, root, splits) for source in config.sources]
    known = sorted({name for part in parts for name in part.table["source"]})
    if unknown := sorted(set(config.leave_out) - set(known)):
        raise RecipeError(
            f"There is no source {', '.join(unknown)} to leave out. Known: {', '.join(known)}."
        )
    chosen = []
    for part in parts:
        kept = part.table["source"].isin(config.leave_out) == left_out
        chosen.append(_described(replace(part, table=part.table[kept].reset_index(drop=True))))
    pool = chosen[0] if len(chosen) == 1 else _joined(config.sources, chosen, root)
    return of_splits(_by_patient(pool, is_test="train" not in splits), splits)


def tell_dropped(dataset: Dataset, console: Console) -> None:
    """Say how many test images are left out because their patients are trained on."""
    if dataset.dropped:
        console.print(f"{dataset.dropped} test images are left out: their patients are trained on.")


def cached_images(
    dataset: Dataset, digest: str, spec: PreprocessingSpec, folder: Path, console: Console
) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Decode and resize a data set, or map what an earlier call has left.

    The cache is keyed by the data's digest, the size, and the source of the package ``contract``,
    so no stale array is ever read. Images are uint8, shape (images, height, width, 1), in the
    table's order, mapped from the disk; beside them is the reason for each path that could not be
    decoded, whose row is black.
    """
    paths: list[str] = list(dataset.table["path"])
    key = hashlib.sha256(f"{digest} {spec.model_dump_json()}".encode())
    key.update("\n".join(paths).encode())
    for source in sorted(Path(contract.__path__[0]).glob("*.py")):
        key.update(source.read_bytes())
    folder = folder / key.hexdigest()[:16]
    array, faults = folder / "images.npy", folder / "unreadable.json"
    if not array.is_file():
        unreadable: dict[str, str] = {}
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *spec.size, 1)}
        # Plain writes: a full disk then raises, where a mapped file would crash.
        with atomic_path(array) as draft, draft.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            rows = read_all(paths, lambda path: read_input(dataset.root / path, spec), console)
            for path, row in zip(paths, rows, strict=True):
                if isinstance(row, str):
                    unreadable[path] = row
                file.write(bytes(spec.height * spec.width) if path in unreadable else row.tobytes())
            write_text(faults, json.dumps(unreadable))
    return np.load(array, mmap_mode="r"), json.loads(faults.read_bytes())


def read_all(
    paths: Sequence[str], read: Callable[[str], Content], console: Console
) -> Iterator[Content | str]:
    """Read images in threads, in their order, with a progress bar.

    Of one that cannot be read there is the reason: a bad file must not stop the others.
    """

    def outcome(path: str) -> Content | str:
        try:
            return read(path)
        except (ImageError, OSError) as error:
            return str(error)

    hidden = not console.is_terminal
    with ThreadPoolExecutor() as pool:
        found = pool.map(outcome, paths)
        yield from track(found, "reading images", len(paths), console=console, disable=hidden)


def read_input(path: Path, spec: PreprocessingSpec) -> NDArray[np.uint8]:
    """Read a file as the model takes it: uint8, shape (height, width, 1), or ``ImageError``."""
    return preprocess(decode(path.read_bytes(), at_least=spec.size), spec)


def _found(dataset: Dataset, recipe: Recipe) -> list[str]:
    """The recipe's classes that the data set has, in the recipe's order."""
    return [label for label in recipe.data.classes if label in set(dataset.table["label"])]


def _renamed(source: SourceConfig, root: Path, splits: Sequence[OfficialSplit]) -> Dataset:
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
    """One data set below one root."""
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


def _by_patient(dataset: Dataset, *, is_test: bool) -> Dataset:
    """The data set, where a patient has one group; of a test, without who is trained on."""
    table = dataset.table
    owner = table["source"] + ": " + table["patient"]
    rows = pd.Series(table.index).groupby(owner)
    pairs = zip(rows.transform("first"), table.index, strict=True)
    table = table.assign(group=joined_groups(list(table["group"]), pairs))
    trained = table["split"].ne("test").groupby(owner).transform("any")
    kept = ~trained | table["split"].ne("test") | (not is_test)
    return replace(dataset, table=table[kept], dropped=int((~kept).sum()))


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
