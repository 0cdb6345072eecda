"""The data sets whose folders are the classes: a table of folder and label, and one reader."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from training.datasets.base import (
    Dataset,
    ImageRow,
    OfficialSplit,
    as_dataset,
    check_class_folders,
    find_home,
    image_row,
    images_of_class,
    read_sheet,
)
from training.errors import LayoutMismatch

Patient = Callable[[Path, OfficialSplit], str | None]

# On these hosts a collection is a project of one owner, elsewhere it is the host.
SHARED_HOSTS = frozenset({"github.com", "kaggle.com"})
# Kermany's second release names files by family and number, the third by disease and patient.
PATIENT_PATTERNS = (
    re.compile(r"(?P<patient>person\d+)_(?:bacteria|virus)_\d+(?:_\d+)?"),
    re.compile(r"(?P<patient>(?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?"),
    re.compile(r"(?:NORMAL|BACTERIA|VIRUS)-(?P<patient>\d+)-\d+"),
)


def kermany_patient(file: Path, split: OfficialSplit) -> str | None:
    """The patient that a file name carries, if any; numbers start anew in each official split."""
    for pattern in PATIENT_PATTERNS:
        if match := pattern.fullmatch(file.stem):
            return f"{split}-{match['patient']}"
    return None


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """One data set that is laid out by class.

    Args:
        name: In full, for cards.
        licence: Of the images.
        source: Where its images were gathered, where no sheet says more.
        labels: The label of each class folder.
        homes: What the upstream archive calls its folder.
        expected: The layout, and what to download from where.
        required: Class folders without which it is no copy of the data set; all where None.
        fewest: How many of the required ones must be there; all where None.
        images: The folder within a class folder that holds the images.
        split_folders: The folders of each official split; without them all is there to train.
        patient: The patient that a file name carries.
        source_sheets: Whether ``<class>.metadata.xlsx`` may name each image's source.
    """

    name: str
    licence: str
    source: str
    labels: Mapping[str, str]
    homes: tuple[str, ...]
    expected: str
    required: tuple[str, ...] | None = None
    fewest: int | None = None
    images: str = ""
    split_folders: Mapping[OfficialSplit, tuple[str, ...]] = field(
        default_factory=lambda: {"train": ("",)}
    )
    patient: Patient = lambda _file, _split: ""
    source_sheets: bool = False

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List one official split; see ``Reader``."""
        folders = self.split_folders.get(split, ())
        first = (*folders, "")[0]
        home = find_home(root, self.homes, lambda home: self._fits(home / first), self.expected)
        rows = [row for folder in folders for row in self._rows(home, home / folder, split)]
        return as_dataset(self.name, self.licence, home, rows, split)

    def _fits(self, home: Path) -> bool:
        required = self.required or tuple(self.labels)
        present = [name for name in required if (home / name / self.images).is_dir()]
        return len(present) >= (self.fewest or len(required))

    def _rows(self, home: Path, part: Path, split: OfficialSplit) -> Iterator[ImageRow]:
        check_class_folders(part, self.labels)
        for name in [name for name in self.labels if (part / name).is_dir()]:
            files = images_of_class(part / name / self.images, self.expected)
            sources = self._sources(home, name, files)
            for file in files:
                patient = self.patient(file, split)
                if patient is None:
                    raise LayoutMismatch(
                        f"The file name {file.name} carries no patient, as "
                        "person123_bacteria_45.jpeg and IM-0115-0001.jpeg do, so it cannot be "
                        f"split by patient. Expected {self.expected}."
                    )
                known = {
                    "patient": patient,
                    "split": split,
                    "mask": part / name / "masks" / file.name,
                }
                yield image_row(home, file, self.labels[name], sources[file], **known)

    def _sources(self, home: Path, name: str, files: Sequence[Path]) -> Mapping[Path, str]:
        """Where images were gathered, such as ``covid-radiography-sirm-org``."""
        sheet = home / f"{name}.metadata.xlsx"
        if not (self.source_sheets and sheet.is_file()):
            return dict.fromkeys(files, self.source)
        table = read_sheet(sheet, ("FILE NAME", "URL"), self.expected)
        urls = dict(zip(table["FILE NAME"].map(_key), table["URL"], strict=True))
        if not any(_key(file.name) in urls for file in files):
            raise LayoutMismatch(
                f"{sheet} names none of the images of its class, as {files[0].name}. "
                f"Expected {self.expected}."
            )
        return {file: _source(self.source, urls.get(_key(file.name), "")) for file in files}


def _key(file_name: str) -> str:
    """``NORMAL-1`` in a sheet is ``Normal-1.png`` on the disk; spaces differ as well."""
    return "".join(file_name.split()).lower().removesuffix(".png")


def _source(data_set: str, url: str) -> str:
    parts = urlsplit(url if "//" in url else f"//{url}")
    host = parts.netloc.lower().removeprefix("www.")
    owner_and_project = parts.path.split("/")[1:3] if host in SHARED_HOSTS else []
    words = re.findall(r"[a-z0-9]+", " ".join([host, *owner_and_project]).lower())
    return "-".join([data_set, *words])


CLASS_FOLDERS: Mapping[str, ClassFolders] = {
    # Children of one to five years from Guangzhou. Kermany 2018, DOI 10.17632/rscbjbr9sj.
    "kermany": ClassFolders(
        name="Kermany 2018, Chest X-Ray Images (Pneumonia)",
        licence="CC BY 4.0",
        source="kermany",
        labels={"NORMAL": "normal", "PNEUMONIA": "pneumonia"},
        homes=("chest_xray",),
        # The 16 images of the upstream folder "val" are too few to validate on; their patient
        # numbers carry on those of "train", so they belong to it.
        split_folders={"train": ("train", "val"), "test": ("test",)},
        patient=kermany_patient,
        expected=(
            "chest_xray/{train,test}/{NORMAL,PNEUMONIA}/*.jpeg. Download the chest X-ray archive "
            'of "Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for '
            'Classification" '
            "(Mendeley Data, DOI 10.17632/rscbjbr9sj; on Kaggle it is called Chest X-Ray Images "
            "(Pneumonia)) and give the folder chest_xray or the one above it"
        ),
    ),
    # Adults of several collections, which the sheets name, and children of Kermany's: the source
    # tells the class. Chowdhury 2020, DOI 10.1109/ACCESS.2020.3010287; Rahman 2021,
    # DOI 10.1016/j.compbiomed.2021.104319.
    "covid-radiography": ClassFolders(
        name="COVID-19 Radiography Database",
        licence="the terms of the collections that it pools; copyright of their authors (Kaggle)",
        source="covid-radiography",
        labels={
            "COVID": "covid-19",
            "Normal": "normal",
            "Lung_Opacity": "lung-opacity",
            "Viral Pneumonia": "pneumonia",
        },
        homes=("COVID-19_Radiography_Dataset",),
        # The classes are gathered one by one, so a copy without some of them is of use.
        fewest=2,
        images="images",
        source_sheets=True,
        expected=(
            "COVID-19_Radiography_Dataset/{COVID,Normal,Lung_Opacity,Viral Pneumonia}/images/*.png"
            ", two of these classes at least, and where there are any masks/*.png and "
            '<class>.metadata.xlsx beside. Download the "COVID-19 Radiography Database" (Kaggle, '
            "tawsifurrahman/covid19-radiography-database) and give its folder or the one above it"
        ),
    ),
    # Adults of the NLM, NIAID, Belarus and RSNA collections; half of the tuberculosis images are
    # tinted, which tells the class. Rahman 2020, DOI 10.1109/ACCESS.2020.3031384.
    "tb-chest": ClassFolders(
        name="Tuberculosis (TB) Chest X-ray Database",
        licence="the terms of the collections that it pools; copyright of their authors (Kaggle)",
        source="tb-chest",
        labels={"Tuberculosis": "tuberculosis", "Normal": "normal"},
        homes=("TB_Chest_Radiography_Database",),
        required=("Tuberculosis",),
        source_sheets=True,
        expected=(
            "TB_Chest_Radiography_Database/{Tuberculosis,Normal}/*.png, of which Normal may be "
            "missing, and where there are any <class>.metadata.xlsx beside. Download the "
            '"Tuberculosis (TB) Chest X-ray Database" (Kaggle, '
            "tawsifurrahman/tuberculosis-tb-chest-xray-dataset) and give its folder or the one "
            "above it"
        ),
    ),
    # Adults of a hospital in Pakistan; the normals look like those of one scanner. Kiran 2024,
    # DOI 10.17632/8j2g3csprk.
    "tuberculosis-pk": ClassFolders(
        name="Dataset of Tuberculosis Chest X-rays Images",
        licence="CC BY 4.0",
        source="tuberculosis-pk",
        labels={"Tuberculosis": "tuberculosis", "Normal": "normal"},
        homes=("tuberculosis_pk",),
        expected=(
            'tuberculosis_pk/{Tuberculosis,Normal}/*.jpg. Download the "Dataset of Tuberculosis '
            'Chest X-rays Images" (Mendeley Data, DOI 10.17632/8j2g3csprk), call its two folders '
            "so, and give the folder that holds them or the one above it"
        ),
    ),
    # Slices of 120 patients from São Paulo, not named in the files: neighbouring numbers are often
    # one patient, so figures from a random split are too good. "Not COVID" says neither that a lung
    # is normal nor what it has. Soares 2020, DOI 10.1101/2020.04.24.20078584.
    "sars-cov-2-ct": ClassFolders(
        name="SARS-COV-2 CT-Scan Dataset",
        licence="CC BY-NC-SA 4.0 (Kaggle; unverified)",
        source="sars-cov-2-ct",
        labels={"COVID": "covid-19", "non-COVID": "other"},
        homes=("sars-cov-2-ct", "sarscov2-ctscan-dataset"),
        expected=(
            'sars-cov-2-ct/{COVID,non-COVID}/*.png. Download the "SARS-COV-2 Ct-Scan Dataset" '
            "(Kaggle, plameneduardo/sarscov2-ctscan-dataset) and give the folder that holds the "
            "two classes or the one above it"
        ),
    ),
}
