"""Small data sets of random patterns, with or without a planted fault, for the exploration."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tests.synthetic import as_png
from training.datasets import Dataset, ImageRow

CELLS = 12
CELL_PIXELS = 4
CLASSES = ("normal", "pneumonia")
SPLITS = ("train", "test")


def pattern(seed: int) -> NDArray[np.uint8]:
    """Draw random squares, uint8, shape (48, 48); no two seeds look alike, even to a hash."""
    cells = np.random.default_rng(seed).integers(0, 256, (CELLS, CELLS), np.uint8)
    return np.kron(cells, np.ones((CELL_PIXELS, CELL_PIXELS), np.uint8))


def tinted(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give gray pixels the look of a faded photograph, uint8, shape (rows, columns, 3)."""
    return np.stack([gray, gray // 4 * 3, gray // 2], axis=-1)


@dataclass
class Tree:
    """A data set on the disk that grows image by image; each is of a patient of its own."""

    root: Path
    rows: list[ImageRow] = field(default_factory=list)

    def add(
        self,
        label: str,
        data: bytes | None = None,
        *,
        split: str = "train",
        patient: str | None = None,
        source: str | None = None,
    ) -> str:
        """Write one image, a new pattern where no bytes are given; return its path."""
        number = len(self.rows)
        path = f"{split}/{label}/{number}.png"
        patient = f"patient-{number}" if patient is None else patient
        source = source or ("east", "west")[number % 2]
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(as_png(pattern(number)) if data is None else data)
        self.rows.append(ImageRow(path, label, patient, patient or path, split, source))
        return path

    def add_clean(self, images: int) -> "Tree":
        """Add so many images of each class to each split, with nothing that tells the class."""
        for split in SPLITS:
            for label in CLASSES:
                for _ in range(images):
                    self.add(label, split=split)
        return self

    def dataset(self, name: str = "tiny") -> Dataset:
        """The data set as an adapter would list it."""
        table = pd.DataFrame(self.rows, columns=list(ImageRow._fields))
        return Dataset(name, "none", self.root, table)
