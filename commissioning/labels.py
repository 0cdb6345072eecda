"""The hospital's images and labels: read, checked, grouped by patient."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from commissioning.errors import LabelsUnusable
from contract.findings import Label

FEWEST_OF_A_FINDING = 30
FEWEST_PATIENTS = 10
ATTRIBUTES = ("view", "age", "sex", "device")
_COLUMNS = ("path", "finding", "patient", *ATTRIBUTES)
# A model that only tells infection from its absence has one word for all of them.
_INFECTIONS = ("pneumonia", "covid-19", "tuberculosis")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """One row of ``table`` for each image.

    ``path`` is relative to ``folder``; ``patient`` is a pseudonym, and images of one never cross a
    fold; ``view``, ``age``, ``sex`` and ``device`` are "" where the hospital says nothing.
    ``findings`` are the model's labels that occur, in the model's order. ``digest`` is that of the
    table as it was used.
    """

    folder: Path
    table: pd.DataFrame
    findings: tuple[Label, ...]
    digest: str

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.table)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(self.folder / path for path in self.table["path"])

    @property
    def classes(self) -> NDArray[np.int64]:
        """The index of each image's finding in ``findings``, shape (n,)."""
        order = {name: i for i, name in enumerate(self.findings)}
        return np.asarray(self.table["finding"].map(order), np.int64)

    @property
    def patients(self) -> NDArray[np.str_]:
        """The patient of each, shape (n,)."""
        return np.asarray(self.table["patient"], np.str_)

    def counts(self) -> dict[Label, int]:
        """How many images each finding has."""
        return {name: int((self.table["finding"] == name).sum()) for name in self.findings}

    def missing(self) -> dict[Label, int]:
        """How many more images, or images of further patients, each finding needs."""
        patients = self.table.groupby("finding")["patient"].nunique()
        short = {
            name: max(FEWEST_OF_A_FINDING - images, FEWEST_PATIENTS - patients.get(name, 0))
            for name, images in self.counts().items()
        }
        return {name: n for name, n in short.items() if n > 0}


def read_labels(images: Path, labels: Path, known: Sequence[Label]) -> LabelledImages:
    """Read a CSV with ``path`` (from ``images``) and ``finding``, or folders named for a finding.

    The CSV may have ``patient``, ``view``, ``age``, ``sex`` and ``device``; ``known`` are the
    model's labels, in its order.

    Raises:
        LabelsUnusable: A column, a file or a finding is missing, unknown, or contradicts another.
    """
    table = _from_folders(labels) if labels.is_dir() else _from_csv(labels)
    if table.empty:
        raise LabelsUnusable(f"{labels} names no image.")
    table["finding"] = [_as_the_model_says(name, known) for name in table["finding"]]
    _refuse("no label of the model", table["finding"][~table["finding"].isin(known)])
    there = table["path"].map(lambda path: (images / path).is_file())
    _refuse("no file", table["path"][~there])
    _refuse("in the table twice", table["path"][table["path"].duplicated()])
    used = table[["path", "finding", "patient"]].sort_values("path").to_csv(index=False)
    alone = table["patient"] == ""
    table.loc[alone, "patient"] = [f"image {i}" for i in table.index[alone]]
    return LabelledImages(
        folder=images,
        table=table,
        findings=tuple(name for name in known if (table["finding"] == name).any()),
        digest=f"sha256:{hashlib.sha256(used.encode()).hexdigest()}",
    )


def without_duplicates(
    labelled: LabelledImages, pixels: Sequence[str]
) -> tuple[LabelledImages, NDArray[np.int64]]:
    """Leave out images without pixels and copies, and join patients who share an image.

    ``pixels`` has the digest of each image as the model sees it, "" where there is none.

    Returns:
        What is left, and its indices.

    Raises:
        LabelsUnusable: The same pixels carry two findings.
    """
    first: dict[str, int] = {}
    patients, classes, paths = labelled.patients.copy(), labelled.classes, labelled.paths
    for i, digest in enumerate(pixels):
        if not digest:
            continue
        j = first.setdefault(digest, i)
        if classes[i] != classes[j]:
            raise LabelsUnusable(
                f"{paths[i].name} and {paths[j].name} are the same picture with two findings. "
                "Correct one of the labels."
            )
        patients[patients == patients[i]] = patients[j]
    index = np.array(sorted(first.values()), np.int64)
    table = labelled.table.assign(patient=patients).iloc[index].reset_index(drop=True)
    findings = tuple(name for name in labelled.findings if (table["finding"] == name).any())
    return replace(labelled, table=table, findings=findings), index


def _from_folders(folder: Path) -> pd.DataFrame:
    files = [file.relative_to(folder) for file in sorted(folder.glob("*/*")) if file.is_file()]
    rows = [(str(file), file.parent.name) for file in files]
    table = pd.DataFrame(rows, columns=["path", "finding"])
    return table.reindex(columns=_COLUMNS, fill_value="")


def _from_csv(file: Path) -> pd.DataFrame:
    try:
        # What tools write where nothing is known becomes "".
        nothing = ["none", "inf", "-inf"]
        table = pd.read_csv(file, dtype=str, encoding="utf-8-sig", na_values=nothing)
    except (OSError, ValueError) as error:
        raise LabelsUnusable(f"{file} cannot be read as a UTF-8 CSV: {error}.") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise LabelsUnusable(f"{file} has rows with more cells than columns.")
    table.columns = [str(name).strip().lower() for name in table.columns]
    lacking = [name for name in ("path", "finding") if name not in table.columns]
    if lacking:
        raise LabelsUnusable(f"{file} has no column {' and '.join(lacking)}.")
    table = table.fillna("").reindex(columns=_COLUMNS, fill_value="")
    return table.astype(str).apply(lambda column: column.str.strip())


def _as_the_model_says(finding: str, known: Sequence[str]) -> str:
    name = finding.strip().lower().replace("covid19", "covid-19").replace("_", "-")
    if name in known:
        return name
    return "infection" if name in _INFECTIONS and "infection" in known else finding


def _refuse(what: str, values: Iterable[str]) -> None:
    names = list(values)
    if names:
        shown = ", ".join(dict.fromkeys(names[:_SHOWN]))
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise LabelsUnusable(f"The labels name {shown}{more}: {what}.")
