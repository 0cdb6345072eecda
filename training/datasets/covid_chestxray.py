"""COVID-19 Image Data Collection (ieee8023/covid-chestxray-dataset): cut out of publications.

Source: Cohen J P et al. COVID-19 Image Data Collection: Prospective Predictions Are the Future.
2020, arXiv:2006.11988. The lung masks are those of v7labs/covid-19-xray-dataset.
"""

import re
from pathlib import Path

import pandas as pd

from training.datasets.base import (
    Dataset,
    ImageRow,
    OfficialSplit,
    as_dataset,
    find_home,
    read_sheet,
)
from training.errors import DataError

COLUMNS = ("patientid", "finding", "view", "modality", "folder", "filename")
EXPECTED = (
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


def read_covid_chestxray(root: Path, split: OfficialSplit) -> Dataset:
    """List the frontal radiographs of the COVID-19 Image Data Collection that are there.

    Raises:
        DataError: The sheet is missing or another, or none of its radiographs is there.
    """
    names = ("covid-chestxray-dataset", "covid-chestxray-dataset-master")
    home = find_home(root, names, lambda home: (home / "metadata.csv").is_file(), EXPECTED)
    sheet = read_sheet(home / "metadata.csv", COLUMNS, EXPECTED)
    frontal = sheet[(sheet["modality"] == "X-ray") & sheet["view"].str.match(FRONTAL)]
    patients = _joined_patients(frontal)
    listed = frontal.drop_duplicates("filename")
    listed = listed.assign(path=listed["folder"] + "/" + listed["filename"])
    rows = []
    for entry in listed.itertuples():
        patient = patients[entry.patientid]
        if (home / entry.path).is_file():
            finding = _finding(entry.finding)
            rows.append(ImageRow(entry.path, finding, patient, patient, "train", "covid-chestxray"))
    if not rows:
        raise DataError(
            f"{home}/metadata.csv lists {len(frontal)} frontal radiographs, and none of them "
            f"is there. Expected {EXPECTED}."
        )
    licence = (
        "per image, in metadata.csv: Apache 2.0, CC BY, CC BY-NC-SA, CC BY-NC-ND or none stated"
    )
    return as_dataset("COVID-19 Image Data Collection", licence, home, rows, split)


def _joined_patients(sheet: pd.DataFrame) -> dict[str, str]:
    """The name of each patient; a file that is listed for two of them makes them one."""
    first = sheet.groupby("filename")["patientid"].transform("first")
    again = sheet["patientid"] != first
    same = dict(zip(sheet.loc[again, "patientid"], first[again], strict=True))
    return {patient: same.get(patient, patient) for patient in sheet["patientid"]}


def _finding(finding: str) -> str:
    names = {name.strip() for name in re.split("[/,]", finding)}
    if "COVID-19" in names:
        return "covid-19"
    if "Tuberculosis" in names:
        return "tuberculosis"
    if names & PNEUMONIAS:
        return "pneumonia"
    return "normal" if "No Finding" in names else "other"
