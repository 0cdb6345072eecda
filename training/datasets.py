"""Data sets as tables of images, with one reader for each upstream layout."""

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from training.errors import DataError, RecipeError

OfficialSplit = Literal["train", "test"]
_PARTS: Mapping[OfficialSplit, tuple[str, ...]] = {
    "train": ("train", "validation"),
    "test": ("test",),
}


class ImageRow(NamedTuple):
    """One image of a data set.

    ``path`` is relative to the data set's root, with slashes. ``split`` is an official one, or
    ``validation``, which belongs to ``train``. ``source`` is where the image was gathered, finer
    than the data set where that pools several.
    """

    path: str
    label: str
    patient: str
    group: str
    split: str
    source: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set, or one official split of it.

    ``table`` has one row per image and the columns of ``ImageRow``. Images of one group must stay
    together; a reader sets the group to the patient, ``training.splits`` joins near-duplicates to
    it. The table is never changed in place. ``dropped`` counts test images of patients who are
    trained on, which are left out.
    """

    name: str
    licence: str
    root: Path
    table: pd.DataFrame
    dropped: int = 0


def read_dataset(adapter: str, root: Path, split: OfficialSplit) -> Dataset:
    """List one official split of a data set; one without official splits has all its in ``train``.

    Raises ``RecipeError`` where there is no such adapter, ``DataError`` where the folder is none,
    or not laid out as the adapter expects.
    """
    if adapter not in READERS:
        known = ", ".join(sorted(READERS))
        raise RecipeError(f"There is no adapter {adapter!r}. Known: {known}.")
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Give the data set's folder.")
    return READERS[adapter](root, split)


def check_labels(table: pd.DataFrame, classes: Sequence[str], where: str) -> None:
    """Raise ``DataError`` unless a table's labels are the recipe's classes, each with an image."""
    found = set(table["label"])
    if unknown := sorted(found - set(classes)):
        raise DataError(
            f"{where} has the label {', '.join(unknown)}, but the recipe's classes are "
            f"{', '.join(classes)}. Name it in the recipe, or choose another recipe."
        )
    if missing := [label for label in classes if label not in found]:
        raise DataError(
            f"{where} has no image of {', '.join(missing)}. "
            "Every class needs images in every split: check that the data set is complete."
        )


def data_digest(dataset: Dataset) -> str:
    """Name the exact content of a data set: ``sha256:<hex>`` over sorted paths and their files."""
    total = hashlib.sha256()
    for path in sorted(dataset.table["path"]):
        try:
            content = hashlib.sha256((dataset.root / path).read_bytes()).hexdigest()
        except OSError:
            # It will be listed among the unreadable images; here it must only be told from others.
            content = "unreadable"
        total.update(f"{path}\0{content}\n".encode())
    return f"sha256:{total.hexdigest()}"


def of_splits(dataset: Dataset, splits: Iterable[OfficialSplit]) -> Dataset:
    """The images of some official splits, numbered anew."""
    names = [name for split in splits for name in _PARTS[split]]
    table = dataset.table[dataset.table["split"].isin(names)].reset_index(drop=True)
    return replace(dataset, table=table)


def read_sheet(path: Path, columns: Sequence[str], expected: str) -> pd.DataFrame:
    """Read some columns of a CSV file as text without outer spaces; an empty cell is empty text.

    Raises ``DataError`` where it cannot be read or lacks one, and says which layout is expected.
    """
    try:
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            # Sheets that a spreadsheet program once saved; every byte is valid in Latin-1.
            text = content.decode("latin-1")
        sheet = pd.read_csv(io.StringIO(text), dtype="str", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Expected {expected}.") from error
    sheet = sheet.rename(columns=lambda name: str(name).strip())
    if not set(columns) <= set(sheet.columns):
        raise DataError(
            f"{path} has the columns {', '.join(sheet.columns)}, "
            f"not {', '.join(columns)}. Expected {expected}."
        )
    return sheet[list(columns)].apply(lambda column: column.str.strip())


def _visible(folder: Path) -> list[Path]:
    """A folder's entries in order, without what operating systems leave; none if it is none."""
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__")))


def _find_home(
    root: Path, names: Iterable[str], fits: Callable[[Path], bool], expected: str
) -> Path:
    """Find a data set's own folder: the given one, or one of its usual names below it."""
    for home in (root, *(root / name for name in names)):
        if fits(home):
            return home
    found = ", ".join(entry.name for entry in _visible(root)[:8]) or "nothing"
    raise DataError(f"Found {found} in {root}, expected {expected}.")


def _as_dataset(
    name: str, licence: str, home: Path, rows: Iterable[ImageRow], split: OfficialSplit
) -> Dataset:
    kept = [row for row in rows if row.split in _PARTS[split]]
    table = pd.DataFrame(kept, columns=list(ImageRow._fields), dtype="str")
    return Dataset(name, licence, home, table)


# Children of one to five years from Guangzhou, by class. Kermany 2018, DOI 10.17632/rscbjbr9sj.
KERMANY_LABELS = {"NORMAL": "normal", "PNEUMONIA": "pneumonia"}
# The second release names files by family and number, the third by disease and patient.
KERMANY_PATIENTS = (
    re.compile(r"(?P<patient>person\d+)_(?:bacteria|virus)_\d+(?:_\d+)?"),
    re.compile(r"(?P<patient>(?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?"),
    re.compile(r"(?:NORMAL|BACTERIA|VIRUS)-(?P<patient>\d+)-\d+"),
)
KERMANY_LAYOUT = (
    "chest_xray/{train,test}/{NORMAL,PNEUMONIA}. Download the chest X-ray archive of "
    '"Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for Classification" '
    "(Mendeley Data, DOI 10.17632/rscbjbr9sj; on Kaggle it is called Chest X-Ray Images "
    "(Pneumonia)), and give its folder or the one above it"
)


def _read_kermany(root: Path, split: OfficialSplit) -> Dataset:
    def fits(home: Path) -> bool:
        return all((home / split / name).is_dir() for name in KERMANY_LABELS)

    home = _find_home(root, ("chest_xray",), fits, KERMANY_LAYOUT)
    # The 16 images of the upstream folder "val" are too few to validate on; their patient numbers
    # carry on those of "train", so they belong to it.
    folders = ("train", "val") if split == "train" else ("test",)
    rows = [row for folder in folders for row in _kermany_rows(home, home / folder, split)]
    name = "Kermany 2018, Chest X-Ray Images (Pneumonia)"
    return _as_dataset(name, "CC BY 4.0", home, rows, split)


def _kermany_rows(home: Path, part: Path, split: OfficialSplit) -> Iterator[ImageRow]:
    folders = [entry for entry in _visible(part) if entry.is_dir()]
    if unknown := [folder.name for folder in folders if folder.name not in KERMANY_LABELS]:
        raise DataError(
            f"{part} has the class {', '.join(unknown)}; this data set has only "
            f"{', '.join(KERMANY_LABELS)}."
        )
    for folder in folders:
        files = [f for f in _visible(folder) if f.suffix.lower() in {".jpeg", ".jpg", ".png"}]
        if not files:
            raise DataError(f"{folder} holds no image. Expected {KERMANY_LAYOUT}.")
        for file in files:
            patient, path = _kermany_patient(file, split), file.relative_to(home).as_posix()
            label = KERMANY_LABELS[folder.name]
            yield ImageRow(path, label, patient, patient, split, "kermany")


def _kermany_patient(file: Path, split: OfficialSplit) -> str:
    """The patient that a file name carries; numbers start anew in each official split."""
    for pattern in KERMANY_PATIENTS:
        if match := pattern.fullmatch(file.stem):
            return f"{split}-{match['patient']}"
    raise DataError(
        f"The file name {file.name} carries no patient, as person123_bacteria_45.jpeg and "
        f"IM-0115-0001.jpeg do, so it cannot be split by patient. Expected {KERMANY_LAYOUT}."
    )


# Images cut out of publications, the frontal ones alone. Cohen 2020, COVID-19 Image Data
# Collection, arXiv:2006.11988. The lung masks are those of v7labs/covid-19-xray-dataset.
COVID_COLUMNS = ("patientid", "finding", "view", "modality", "folder", "filename")
COVID_LAYOUT = (
    "covid-chestxray-dataset/metadata.csv and the images that it lists, in images/; where there "
    "are any, lung masks of the same names in lung_masks/. Download the GitHub repository "
    "ieee8023/covid-chestxray-dataset and give its folder or the one above it"
)
# PA, AP, AP Supine, AP erect and their like; not L, Axial or Coronal.
FRONTAL = re.compile(r"(?:PA|AP)\b")
# Findings are paths, as Pneumonia/Viral/COVID-19. In the early releases they are single names.
PNEUMONIAS = frozenset(
    {"Pneumonia", "Viral", "Bacterial", "Fungal", "Lipoid", "Aspiration"}
    | {"SARS", "MERS-CoV", "Influenza", "H1N1", "Herpes", "Varicella"}
    | {"Streptococcus", "Klebsiella", "Legionella", "Mycoplasma", "Chlamydophila", "Nocardia"}
    | {"E.Coli", "Staphylococcus", "MRSA", "Pneumocystis", "Aspergillosis"}
)


def _read_covid_chestxray(root: Path, split: OfficialSplit) -> Dataset:
    names = ("covid-chestxray-dataset", "covid-chestxray-dataset-master")
    home = _find_home(root, names, lambda home: (home / "metadata.csv").is_file(), COVID_LAYOUT)
    sheet = read_sheet(home / "metadata.csv", COVID_COLUMNS, COVID_LAYOUT)
    frontal = sheet[(sheet["modality"] == "X-ray") & sheet["view"].str.match(FRONTAL)]
    # A file that is listed for two patients makes them one.
    first = frontal.groupby("filename")["patientid"].transform("first")
    again = frontal["patientid"] != first
    same = dict(zip(frontal.loc[again, "patientid"], first[again], strict=True))
    rows = []
    for entry in frontal.drop_duplicates("filename").itertuples():
        path = f"{entry.folder}/{entry.filename}"
        patient = same.get(entry.patientid, entry.patientid)
        if (home / path).is_file():
            label = _covid_label(entry.finding)
            rows.append(ImageRow(path, label, patient, patient, "train", "covid-chestxray"))
    if not rows:
        raise DataError(
            f"{home}/metadata.csv lists {len(frontal)} frontal radiographs, and none of them "
            f"is there. Expected {COVID_LAYOUT}."
        )
    licence = (
        "per image, in metadata.csv: Apache 2.0, CC BY, CC BY-NC-SA, CC BY-NC-ND or none stated"
    )
    return _as_dataset("COVID-19 Image Data Collection", licence, home, rows, split)


def _covid_label(finding: str) -> str:
    names = {name.strip() for name in re.split("[/,]", finding)}
    if "COVID-19" in names:
        return "covid-19"
    if "Tuberculosis" in names:
        return "tuberculosis"
    if names & PNEUMONIAS:
        return "pneumonia"
    return "normal" if "No Finding" in names else "other"


# A folder of images of several data sets, with a sheet that labels and splits them.
SHEET_COLUMNS = ("path", "modality", "label", "source", "patient_id", "group", "split", "licence")
MANIFEST_MODALITIES = ("xray", "ct")
MANIFEST_SPLITS = {"train": "train", "val": "validation", "test": "test"}
# Every other label stays as it is.
MANIFEST_LABELS = {"covid19": "covid-19", "covid": "covid-19", "noncovid": "other"}
MANIFEST_LAYOUT = (
    f"manifest.csv with the columns {', '.join(SHEET_COLUMNS)}, and below the same folder all "
    "the images that it lists. A row belongs to the data if its modality is "
    f"{' or '.join(MANIFEST_MODALITIES)} and its split {', '.join(MANIFEST_SPLITS)}"
)


def _read_manifest(root: Path, split: OfficialSplit) -> Dataset:
    """Rows without a split are not listed: copies, and what is kept for other tests.

    The table has one column more, ``licence``, with the terms of each image in short.
    """
    home = _find_home(root, (), lambda home: (home / "manifest.csv").is_file(), MANIFEST_LAYOUT)
    sheet = read_sheet(home / "manifest.csv", SHEET_COLUMNS, MANIFEST_LAYOUT)
    listed = sheet[sheet["modality"].isin(MANIFEST_MODALITIES) & (sheet["split"] != "")]
    if unknown := sorted(set(listed["split"]) - set(MANIFEST_SPLITS)):
        raise DataError(
            f"manifest.csv has the split {', '.join(unknown)}. Expected {MANIFEST_LAYOUT}."
        )
    listed = listed.drop_duplicates(["path", "label", "group", "split"])
    again = listed.loc[listed["path"].duplicated(), "path"]
    if len(again):
        raise DataError(
            f"manifest.csv lists {again.iloc[0]} with two labels, groups or splits. "
            "Leave one row of each image."
        )
    licence = "of each image as manifest.csv says"
    dataset = _as_dataset("pooled images", licence, home, _manifest_rows(listed), split)
    paths = dataset.table["path"]
    if paths.empty:
        counts = sheet["modality"].value_counts()
        found = ", ".join(f"{n} of {name or 'no modality'}" for name, n in counts.items())
        raise DataError(
            f"manifest.csv lists no image to {split}; its rows are {found or 'none'}. "
            f"Expected {MANIFEST_LAYOUT}."
        )
    if missing := [path for path in paths if not (home / path).is_file()]:
        raise DataError(
            f"{len(missing)} of the {len(paths)} files that manifest.csv lists to {split} are not "
            f"in {home}, as {', '.join(missing[:3])}. Complete the copy, or remove their rows."
        )
    # Without its remarks.
    terms = listed.set_index("path")["licence"].str.replace(r" ?\(.*?\)|;.*", "", regex=True)
    return replace(dataset, table=dataset.table.assign(licence=paths.map(terms.str.strip())))


def _manifest_rows(sheet: pd.DataFrame) -> Iterator[ImageRow]:
    for entry in sheet.itertuples():
        # Sheets of one hospital write nih_00001250 and nih-00001250 for one patient.
        patient = re.sub(r"[-_\s]+", "-", entry.patient_id) or entry.group or entry.path
        yield ImageRow(
            path=entry.path,
            label=MANIFEST_LABELS.get(entry.label, entry.label),
            patient=patient,
            group=entry.group or patient,
            split=MANIFEST_SPLITS[entry.split],
            source=entry.source,
        )


READERS: Mapping[str, Callable[[Path, OfficialSplit], Dataset]] = {
    "covid-chestxray": _read_covid_chestxray,
    "kermany": _read_kermany,
    "manifest": _read_manifest,
}
