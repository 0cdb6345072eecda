"""The data sets whose folders are the classes: a table of folder and label, and one reader."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from training.datasets.base import (
    Dataset,
    ImageRow,
    OfficialSplit,
    as_dataset,
    find_home,
    image_row,
    images_in,
    visible,
)
from training.errors import EmptyClass, LayoutMismatch, UnknownLabel

Patient = Callable[[Path, OfficialSplit], str | None]

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
        source: Where its images were gathered.
        labels: The label of each class folder.
        home: What the upstream archive calls its folder.
        origin: What to download from where.
        fewest: How many of the class folders must be there; all where None.
        images: The folder within a class folder that holds the images.
        split_folders: The folders of each official split; without them all is there to train.
        patient: The patient that a file name carries.
    """

    name: str
    licence: str
    source: str
    labels: Mapping[str, str]
    home: str
    origin: str
    fewest: int | None = None
    images: str = ""
    split_folders: Mapping[OfficialSplit, tuple[str, ...]] = field(
        default_factory=lambda: {"train": ("",)}
    )
    patient: Patient = lambda _file, _split: ""

    @property
    def expected(self) -> str:
        """The layout, for people."""
        parts = "/{train,test}" if "test" in self.split_folders else ""
        classes = f"{{{','.join(self.labels)}}}"
        folder = "/".join(filter(None, [f"{self.home}{parts}", classes, self.images]))
        return f"{folder}. Download {self.origin}, and give its folder or the one above it"

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List one official split; see ``Reader``."""
        folders = self.split_folders.get(split, ())
        first = (*folders, "")[0]
        home = find_home(root, (self.home,), lambda home: self._fits(home / first), self.expected)
        rows = [row for folder in folders for row in self._rows(home, home / folder, split)]
        return as_dataset(self.name, self.licence, home, rows, split)

    def _fits(self, home: Path) -> bool:
        present = [name for name in self.labels if (home / name / self.images).is_dir()]
        return len(present) >= (self.fewest or len(self.labels))

    def _rows(self, home: Path, part: Path, split: OfficialSplit) -> Iterator[ImageRow]:
        folders = {entry.name for entry in visible(part) if entry.is_dir()}
        if unknown := sorted(folders - set(self.labels)):
            raise UnknownLabel(
                f"{part} has the class {', '.join(unknown)}; this data set has only "
                f"{', '.join(self.labels)}."
            )
        for name in (label for label in self.labels if label in folders):
            files = images_in(part / name / self.images)
            if not files:
                raise EmptyClass(f"{part / name} holds no image. Expected {self.expected}.")
            for file in files:
                patient = self.patient(file, split)
                if patient is None:
                    raise LayoutMismatch(
                        f"The file name {file.name} carries no patient, as "
                        "person123_bacteria_45.jpeg and IM-0115-0001.jpeg do, so it cannot be "
                        f"split by patient. Expected {self.expected}."
                    )
                mask = part / name / "masks" / file.name
                label = self.labels[name]
                yield image_row(
                    home, file, label, self.source, patient=patient, split=split, mask=mask
                )


CLASS_FOLDERS: Mapping[str, ClassFolders] = {
    # Children of one to five years from Guangzhou. Kermany 2018, DOI 10.17632/rscbjbr9sj.
    "kermany": ClassFolders(
        name="Kermany 2018, Chest X-Ray Images (Pneumonia)",
        licence="CC BY 4.0",
        source="kermany",
        labels={"NORMAL": "normal", "PNEUMONIA": "pneumonia"},
        home="chest_xray",
        origin=(
            'the chest X-ray archive of "Labeled Optical Coherence Tomography (OCT) and Chest '
            'X-Ray Images for Classification" (Mendeley Data, DOI 10.17632/rscbjbr9sj; on Kaggle '
            "it is called Chest X-Ray Images (Pneumonia))"
        ),
        # The 16 images of the upstream folder "val" are too few to validate on; their patient
        # numbers carry on those of "train", so they belong to it.
        split_folders={"train": ("train", "val"), "test": ("test",)},
        patient=kermany_patient,
    ),
    # Adults of several collections, and children of Kermany's: the source tells the class.
    # Chowdhury 2020, DOI 10.1109/ACCESS.2020.3010287; Rahman 2021,
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
        home="COVID-19_Radiography_Dataset",
        origin=(
            'the "COVID-19 Radiography Database" (Kaggle, '
            "tawsifurrahman/covid19-radiography-database)"
        ),
        # The classes are gathered one by one, so a copy without some of them is of use.
        fewest=2,
        images="images",
    ),
    # Adults of the NLM, NIAID, Belarus and RSNA collections; half of the tuberculosis images are
    # tinted, which tells the class. Rahman 2020, DOI 10.1109/ACCESS.2020.3031384.
    "tb-chest": ClassFolders(
        name="Tuberculosis (TB) Chest X-ray Database",
        licence="the terms of the collections that it pools; copyright of their authors (Kaggle)",
        source="tb-chest",
        labels={"Tuberculosis": "tuberculosis", "Normal": "normal"},
        home="TB_Chest_Radiography_Database",
        origin=(
            'the "Tuberculosis (TB) Chest X-ray Database" (Kaggle, '
            "tawsifurrahman/tuberculosis-tb-chest-xray-dataset)"
        ),
        fewest=1,
    ),
    # Adults of a hospital in Pakistan; the normals look like those of one scanner. Kiran 2024,
    # DOI 10.17632/8j2g3csprk.
    "tuberculosis-pk": ClassFolders(
        name="Dataset of Tuberculosis Chest X-rays Images",
        licence="CC BY 4.0",
        source="tuberculosis-pk",
        labels={"Tuberculosis": "tuberculosis", "Normal": "normal"},
        home="tuberculosis_pk",
        origin=(
            'the "Dataset of Tuberculosis Chest X-rays Images" (Mendeley Data, DOI '
            "10.17632/8j2g3csprk), call its two folders so"
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
        home="sars-cov-2-ct",
        origin='the "SARS-COV-2 Ct-Scan Dataset" (Kaggle, plameneduardo/sarscov2-ctscan-dataset)',
    ),
}
