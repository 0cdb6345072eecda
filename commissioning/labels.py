"""The hospital's images and labels: read, checked, grouped by patient."""

import csv
import hashlib
import io
import re
from collections.abc import Sequence
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
# What a column may be called instead, in small letters without what stands between them.
_ALSO_CALLED = {
    "file": "path", "filename": "path", "filepath": "path", "image": "path", "imagepath": "path",
    "label": "finding", "diagnosis": "finding", "patientid": "patient", "viewposition": "view",
    "patientage": "age", "patientsex": "sex", "patientgender": "sex", "gender": "sex",
}  # fmt: skip
# What tools write where nothing is known.
_NOTHING = {"na", "n/a", "#n/a", "<na>", "nan", "null", "none", "inf", "-inf"}
# A number of years, or an Age String of DICOM (PS3.5, 6.2): 045Y, 006M, 012W, 030D.
_AGE = re.compile(r"(\d{1,3}(?:[.,]\d+)?) ?([YMWD]?)", re.IGNORECASE)
_IN_A_YEAR = {"": 1, "Y": 1, "M": 12, "W": 52.18, "D": 365.25}
_OLDEST = 130


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """One row of ``table`` for each image.

    ``path`` is relative to ``folder``; ``patient`` is a pseudonym, and images of one never cross a
    fold; ``view``, ``sex`` and ``device`` are "" where the hospital says nothing, and ``age``, in
    years, is no number. ``findings`` are the model's labels that occur, in the model's order.
    ``digest`` is that of the table as it was used. ``notes`` say what was not taken as it stands.
    """

    folder: Path
    table: pd.DataFrame
    findings: tuple[Label, ...]
    digest: str
    notes: tuple[str, ...] = ()

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

    def missing(self) -> list[str]:
        """How many more images and how many more patients each finding needs."""
        patients = self.table.groupby("finding")["patient"].nunique()
        needs = []
        for name, images in self.counts().items():
            needs += [(FEWEST_OF_A_FINDING - images, f"more images of {name}")]
            needs += [(FEWEST_PATIENTS - patients.get(name, 0), f"more patients of {name}")]
        return [f"{n} {what}" for n, what in needs if n > 0]


def read_labels(images: Path, labels: Path, known: Sequence[Label]) -> LabelledImages:
    """Read a CSV with ``path`` (from ``images``) and ``finding``, or folders named for a finding.

    The CSV may have ``patient``, ``view``, ``age``, ``sex`` and ``device``; ``known`` are the
    model's labels, in its order.

    Raises:
        LabelsUnusable: A column, a file or a finding is missing, unknown, or contradicts another.
    """
    table, notes = _from_folders(labels) if labels.is_dir() else _from_csv(labels)
    if table.empty:
        raise LabelsUnusable(f"{labels} names no image.")
    table["finding"] = [_as_the_model_says(name, known) for name in table["finding"]]
    allowed = f"no label of the model, which has {', '.join(known)}"
    _refuse(allowed, table["finding"][~table["finding"].isin(known)])
    there = table["path"].map(lambda path: (images / path).is_file())
    _refuse(f"no file in {images.resolve()}", table["path"][~there])
    _refuse("in the table twice", table["path"][table["path"].duplicated()])
    used = table[["path", "finding", "patient"]].sort_values("path").to_csv(index=False)
    ages = table["age"].map(_years)
    if odd := [age for age in table["age"][ages.isna()] if age]:
        notes.append(f"{len(odd)} ages are not understood and count as missing, as {odd[0]!r}.")
    alone = table["patient"] == ""
    table.loc[alone, "patient"] = [f"image {i}" for i in table.index[alone]]
    if alone.any():
        notes.append(
            f"{alone.sum()} of {len(table)} images have no patient. Each is taken for a patient of "
            "its own: the figures and intervals are right only if that is so."
        )
    return LabelledImages(
        folder=images,
        table=table.assign(age=ages).reset_index(drop=True),
        findings=tuple(name for name in known if (table["finding"] == name).any()),
        digest=f"sha256:{hashlib.sha256(used.encode()).hexdigest()}",
        notes=tuple(notes),
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


def _from_folders(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    files = [file.relative_to(folder) for file in sorted(folder.glob("*/*")) if file.is_file()]
    rows = [(str(file), file.parent.name) for file in files]
    table = pd.DataFrame(rows, columns=["path", "finding"])
    return table.reindex(columns=_COLUMNS, fill_value=""), []


def _from_csv(file: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table, whose index is the line of each row, and what is told of it."""
    lines = _rows(file)
    if not lines:
        raise LabelsUnusable(f"{file} names no image.")
    _, header = lines.pop(0)
    plain = [re.sub(r"[\W_]+", "", name).lower() for name in header]
    names = [_ALSO_CALLED.get(name, name) for name in plain]
    # A column of the plain name goes before one that is also called so, which is ignored.
    names = [plain[i] if n != plain[i] and n in plain else n for i, n in enumerate(names)]
    if twice := [name for name in _COLUMNS if names.count(name) > 1]:
        same = [given for given, name in zip(header, names, strict=True) if name == twice[0]]
        raise LabelsUnusable(f"{file} has two columns for {twice[0]}: {', '.join(same)}.")
    if lacking := [name for name in ("path", "finding") if name not in names]:
        raise LabelsUnusable(
            f"{file} has no column {' and '.join(lacking)}, but {', '.join(header)}."
        )
    if long := [line for line, cells in lines if any(cells[len(names) :])]:
        raise LabelsUnusable(f"{file}, line {long[0]}, has more cells than there are columns.")
    empty = dict.fromkeys(_COLUMNS, "")
    rows = [empty | dict(zip(names, cells, strict=False)) for _, cells in lines]
    index = pd.Index([line for line, _ in lines], name="line")
    table = pd.DataFrame(rows, index=index, columns=_COLUMNS, dtype="str")
    # As Windows writes them.
    table["path"] = table["path"].str.replace("\\", "/")
    pairs = zip(header, names, strict=True)
    ignored = [given or "one without a name" for given, name in pairs if name not in _COLUMNS]
    return table, [f"Columns that are ignored: {', '.join(ignored)}."] if ignored else []


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, each with its line; cells without outer spaces."""
    text = file.read_bytes().decode("utf-8-sig", errors="replace")
    # A zero byte is UTF-16 without its mark.
    if "\N{REPLACEMENT CHARACTER}" in text or "\0" in text:
        raise LabelsUnusable(f"{file} is no CSV in UTF-8. In Excel, save it as CSV UTF-8.")
    # With this line Excel says what separates the cells. Its end stays, so that lines count on.
    said = re.match(r'"?sep=([,;\t|])"?(?=\r?\n)', text)
    text = text[said.end() :] if said else text
    header = text.lstrip().partition("\n")[0]
    separator = said[1] if said else max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            rows.append((reader.line_num, ["" if c.lower() in _NOTHING else c for c in cells]))
    except csv.Error as error:
        raise LabelsUnusable(f"{file}, line {reader.line_num}: {error}.") from error
    return [(line, cells) for line, cells in rows if any(cells)]


def _years(age: str) -> float:
    """An age in years; no number where it is not understood."""
    if not (found := _AGE.fullmatch(age)):
        return np.nan
    years = float(found[1].replace(",", ".")) / _IN_A_YEAR[found[2].upper()]
    return years if years <= _OLDEST else np.nan


def _as_the_model_says(finding: str, known: Sequence[str]) -> str:
    name = finding.strip().lower().replace("covid19", "covid-19").replace("_", "-")
    if name in known:
        return name
    return "infection" if name in _INFECTIONS and "infection" in known else finding


def _refuse(what: str, values: "pd.Series[str]") -> None:
    """Name the values, each once with its first line, and say what is wrong with them."""
    first = values.drop_duplicates()
    if first.empty:
        return
    shown = ", ".join(
        f"{value or 'nothing'} (line {line})" if first.index.name else value
        for line, value in first.head(_SHOWN).items()
    )
    more = f" and {len(first) - _SHOWN} more" if len(first) > _SHOWN else ""
    raise LabelsUnusable(f"The labels name {shown}{more}: {what}.")
