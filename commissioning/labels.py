"""The hospital's images and labels: read, checked, grouped by patient."""

import csv
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commissioning.errors import LabelsUnusable
from contract.findings import Label

FEWEST_OF_A_FINDING = 30
FEWEST_PATIENTS = 10
ATTRIBUTES = ("view", "age", "sex", "device")
# A model that only tells infection from its absence has one word for all of them.
_BROADER = {"infection": ("pneumonia", "covid-19", "tuberculosis")}
_SHOWN = 5
# What tools write where nothing is known.
_NOTHING = frozenset({"nan", "na", "n/a", "none", "null", "inf", "-inf"})


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """One entry for each image, all of the same length.

    ``findings`` are the model's labels that occur, in the model's order; ``classes`` int64 (n,)
    are indices into them. ``patients`` (n,) are pseudonyms: images of one never cross a fold.
    ``attributes`` has what the table says of each image, "" where it says nothing. ``digest`` is
    that of the table as it was used.
    """

    paths: tuple[Path, ...]
    findings: tuple[Label, ...]
    classes: NDArray[np.int64]
    patients: NDArray[np.str_]
    attributes: Mapping[str, tuple[str, ...]]
    digest: str

    def counts(self) -> dict[str, int]:
        """How many images each finding has."""
        found = np.bincount(self.classes, minlength=len(self.findings))
        return dict(zip(self.findings, found.tolist(), strict=True))

    def missing(self) -> dict[str, int]:
        """How many more images, or images of further patients, each finding needs."""
        short = {}
        for column, (name, images) in enumerate(self.counts().items()):
            patients = len(set(self.patients[self.classes == column].tolist()))
            short[name] = max(FEWEST_OF_A_FINDING - images, FEWEST_PATIENTS - patients)
        return {name: n for name, n in short.items() if n > 0}

    def take(self, index: NDArray[np.int64]) -> "LabelledImages":
        """Some of the images, in this order."""
        return LabelledImages(
            tuple(self.paths[i] for i in index),
            self.findings,
            self.classes[index],
            self.patients[index],
            {name: tuple(values[i] for i in index) for name, values in self.attributes.items()},
            self.digest,
        )


def read_labels(images: Path, labels: Path, known: Sequence[Label]) -> LabelledImages:
    """Read a CSV with ``path`` and ``finding``, or folders named for their finding.

    Args:
        images: What the paths are relative to.
        labels: A CSV, optionally with ``patient``, ``view``, ``age``, ``sex`` and ``device``; or a
            folder whose sub-folders are named for a finding.
        known: The model's labels, in its order.

    Raises:
        LabelsUnusable: A column, a file or a finding is missing, unknown, or contradicts another.
    """
    rows = _from_folders(labels) if labels.is_dir() else _from_csv(labels)
    if not rows:
        raise LabelsUnusable(f"{labels} names no image.")
    for row in rows:
        row["finding"] = _as_the_model_says(row["finding"], known)
    _refuse("no label of the model", [r["finding"] for r in rows if r["finding"] not in known])
    _refuse("no file", [r["path"] for r in rows if not (images / r["path"]).is_file()])
    twice = [path for path, n in Counter(r["path"] for r in rows).items() if n > 1]
    _refuse("in the table twice", twice)
    findings = tuple(name for name in known if any(r["finding"] == name for r in rows))
    table = "\n".join(sorted(f"{r['path']},{r['finding']},{r['patient']}" for r in rows))
    return LabelledImages(
        paths=tuple(images / r["path"] for r in rows),
        findings=findings,
        classes=np.array([findings.index(r["finding"]) for r in rows], np.int64),
        patients=np.array([r["patient"] or f"image {i}" for i, r in enumerate(rows)]),
        attributes={name: tuple(r[name] for r in rows) for name in ATTRIBUTES},
        digest=f"sha256:{hashlib.sha256(table.encode()).hexdigest()}",
    )


def without_duplicates(
    labelled: LabelledImages, pixels: Sequence[str | None]
) -> tuple[LabelledImages, NDArray[np.int64]]:
    """Leave out unreadable images and copies, and join patients who share an image.

    Args:
        labelled: As read.
        pixels: The digest of each image as the model sees it; None where it cannot be read.

    Returns:
        What is left, and its indices.

    Raises:
        LabelsUnusable: The same pixels carry two findings.
    """
    first: dict[str, int] = {}
    patients = labelled.patients.copy()
    for i, digest in enumerate(pixels):
        if digest is None:
            continue
        j = first.setdefault(digest, i)
        if labelled.classes[i] != labelled.classes[j]:
            raise LabelsUnusable(
                f"{labelled.paths[i].name} and {labelled.paths[j].name} are the same picture with "
                "two findings. Correct one of the labels."
            )
        patients[patients == patients[i]] = patients[j]
    index = np.array(sorted(first.values()), np.int64)
    left = labelled.take(index)
    return (
        LabelledImages(
            left.paths, left.findings, left.classes, patients[index], left.attributes, left.digest
        ),
        index,
    )


def _from_folders(folder: Path) -> list[dict[str, str]]:
    blank = dict.fromkeys(("patient", *ATTRIBUTES), "")
    return [
        {"path": str(path.relative_to(folder)), "finding": path.parent.name, **blank}
        for path in sorted(folder.glob("*/*"))
        if path.is_file()
    ]


def _from_csv(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            lacking = [name for name in ("path", "finding") if name not in columns]
            if lacking:
                raise LabelsUnusable(f"{file} has no column {' and '.join(lacking)}.")
            rows = [_row(file, columns, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelsUnusable(f"{file} cannot be read as a UTF-8 CSV: {error}.") from error
    optional = ("patient", *ATTRIBUTES)
    return [
        {name: row.get(name, "").strip() for name in ("path", "finding", *optional)} for row in rows
    ]


def _row(file: Path, columns: list[str], row: dict[str | None, str | None]) -> dict[str, str]:
    if None in row:
        raise LabelsUnusable(f"{file} has a row with more cells than columns.")
    cells = ((cell or "").strip() for cell in row.values())
    known = ("" if cell.lower() in _NOTHING else cell for cell in cells)
    return dict(zip(columns, known, strict=True))


def _as_the_model_says(finding: str, known: Sequence[str]) -> str:
    name = finding.strip().lower().replace("covid19", "covid-19").replace("_", "-")
    if name in known:
        return name
    broader = (broad for broad, narrow in _BROADER.items() if name in narrow and broad in known)
    return next(broader, finding)


def _refuse(what: str, values: Sequence[str]) -> None:
    if values:
        shown = ", ".join(dict.fromkeys(values[:_SHOWN]))
        more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
        raise LabelsUnusable(f"The labels name {shown}{more}: {what}.")
