"""A small data set with lung masks in the layout of covid-chestxray-dataset, without a patient."""

import tomllib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.synthetic import as_png, synthetic_radiograph
from training.config import SegmenterRecipe

SIDE = 48

TINY_SEGMENTER = """
name = "tiny-lungs"
seed = 3
caveats = ["Mind the gap."]

[split]
validation_share = 0.2
test_share = 0.3
near_duplicate_bits = 0

[preprocessing]
height = 32
width = 32

[model]
width = 2
dropout = 0.1

[augmentation]
flip_probability = 0.5
rotation_degrees = 5
noise_probability = 0.3

[training]
epochs = 2
images_per_epoch = 8
batch_size = 4
learning_rate = 1e-2
weight_decay = 1e-3
warmup_epochs = 1
patience = 20
ema_momentum = 0.5
"""


def tiny_segmenter(**parts: dict[str, object]) -> SegmenterRecipe:
    """The recipe, with some values of its parts replaced."""
    values = tomllib.loads(TINY_SEGMENTER)
    for part, changes in parts.items():
        values[part] = {**values[part], **changes}
    return SegmenterRecipe.model_validate(values)


def synthetic_lungs(rows: int = SIDE, columns: int = SIDE) -> NDArray[np.bool_]:
    """The lungs of ``synthetic_radiograph``: bool, shape (rows, columns)."""
    y, x = np.ogrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    lungs: NDArray[np.bool_] = ((y + 0.05) / 0.65) ** 2 + ((np.abs(x) - 0.4) / 0.28) ** 2 <= 1
    return lungs


def write_covid_chestxray(root: Path, patients: int = 8) -> Path:
    """Write radiographs, one of each patient, with their masks.

    Returns:
        The folder ``covid-chestxray-dataset``.
    """
    home = root / "covid-chestxray-dataset"
    sheet = ["patientid,finding,view,modality,folder,filename"]
    for folder in ("images", "lung_masks"):
        (home / folder).mkdir(parents=True)
    mask = synthetic_lungs().astype(np.uint8) * 255
    # A corner that is marked as a letter beside the lungs.
    mask[:4, :4] = 127
    for number in range(patients):
        name = f"chest-{number}.png"
        radiograph = synthetic_radiograph(SIDE, SIDE, number / patients, seed=number)
        (home / "images" / name).write_bytes(as_png(radiograph))
        (home / "lung_masks" / name).write_bytes(as_png(mask))
        sheet.append(f"{number},COVID-19,PA,X-ray,images,{name}")
    (home / "metadata.csv").write_text("\n".join(sheet) + "\n")
    return home
