"""Instances without a patient, for the gateway's tests."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import CTImageStorage

from tests.synthetic import as_dicom, synthetic_radiograph

ROOT = "1.2.826.0.1.3680043.10.1"


def film(number: int, size: tuple[int, int] = (400, 500), **attributes: Any) -> bytes:
    """A drawn DX film, an instance of its own in a study of its own; 8 bits a pixel."""
    pixels = synthetic_radiograph(*size, opacity=(number % 5) / 4, seed=number % 50)
    return as_dicom(
        pixels,
        **{
            "SOPInstanceUID": f"{ROOT}.1.{number}",
            "StudyInstanceUID": f"{ROOT}.2.{number}",
            "SeriesInstanceUID": f"{ROOT}.3.{number}",
            "PatientID": f"DRAWN-{number}",
            "PatientName": "Drawn^Nobody",
            "BodyPartExamined": "CHEST",
            "ViewPosition": "PA",
            **attributes,
        },
    )


def slice_of(series: int, number: int, **attributes: object) -> bytes:
    """A drawn slice of a CT series, 16 bits a pixel in Hounsfield units."""
    y, x = np.ogrid[-1:1:128j, -1:1:128j]
    body = np.where((x / 0.9) ** 2 + (y / 0.7) ** 2 < 1, 40, -1000)
    lungs = ((np.abs(x) - 0.45) / 0.3) ** 2 + (y / 0.5) ** 2 < 1
    pixels = np.where(lungs, -850 + number, body).astype(np.int16)
    return as_dicom(
        pixels,
        **{
            "SOPClassUID": CTImageStorage,
            "Modality": "CT",
            "SOPInstanceUID": f"{ROOT}.4.{series}.{number}",
            "StudyInstanceUID": f"{ROOT}.5.{series}",
            "SeriesInstanceUID": f"{ROOT}.6.{series}",
            "PatientID": f"DRAWN-CT-{series}",
            "PatientName": "Drawn^Nobody",
            "BodyPartExamined": "CHEST",
            "InstanceNumber": number,
            "ImagePositionPatient": [0.0, 0.0, float(number)],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [2.5, 2.5],
            "SliceThickness": 1.0,
            "RescaleIntercept": 0,
            "RescaleSlope": 1,
            **attributes,
        },
    )


def finding(label: str, probability: float, code: str = "233604007") -> dict[str, Any]:
    """A finding as `POST /predict` has it, present from one half on."""
    return {
        "label": label,
        "code": {"system": "http://snomed.info/sct", "code": code},
        "probability": probability,
        "operating_point": 0.5,
        "present": probability > 0.5,
    }


def write_films(folder: Path, count: int, first: int = 0) -> list[Path]:
    """Write films; as drawing takes long, those of one drawing differ in their identity alone."""
    folder.mkdir(parents=True, exist_ok=True)
    files, drawings = [], {}
    for number in range(first, first + count):
        drawing = number % 50
        if drawing not in drawings:
            drawings[drawing] = film(10_000_000 + drawing)
        renamed = drawings[drawing].replace(
            str(10_000_000 + drawing).encode(), str(20_000_000 + number).encode()
        )
        file = folder / f"{number:06}.dcm"
        file.write_bytes(renamed)
        files.append(file)
    return files
