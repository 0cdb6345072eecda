"""Radiographs with hand-drawn lung masks: those of covid-chestxray-dataset.

The masks of ``lung_masks`` cover the lungs with what lies behind the heart; 127 marks arrows and
letters beside them. Those of ``lung_masks_generated`` leave the heart out, so the two cannot be
learnt together.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contract.errors import ImageError
from contract.pixels import resize, to_uint8
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from training.datasets.base import Dataset, data_digest
from training.datasets.covid_chestxray import CovidChestxrayAdapter
from training.errors import DataError, LayoutMismatch

LUNG = 255


@dataclass(frozen=True, slots=True)
class LungImages:
    """Radiographs and their masks, ready for the network.

    ``images`` is uint8, shape (images, height, width, 1); ``masks`` too, 0 no lung to 255 lung,
    and between where a pixel holds both. The index of ``dataset.table`` numbers their rows.
    ``unreadable`` gives the reason for each path that was left out.
    """

    dataset: Dataset
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    unreadable: dict[str, str]


def list_lung_images(root: Path) -> Dataset:
    """List the frontal radiographs that have a mask.

    Args:
        root: The folder of covid-chestxray-dataset, or the one above it.

    Raises:
        LayoutMismatch: It is laid out otherwise, or has no masks.
    """
    dataset = CovidChestxrayAdapter().read(root, "train")
    masked = dataset.table[dataset.table["mask"] != ""].reset_index(drop=True)
    if masked.empty:
        raise LayoutMismatch(
            f"{dataset.root} has no lung masks. Put those of v7labs/covid-19-xray-dataset into "
            "lung_masks/, each named as its image."
        )
    return replace(dataset, table=masked)


def mask_digest(dataset: Dataset) -> str:
    """Name the exact content of the images and of their masks."""
    paths = pd.concat([dataset.table["path"], dataset.table["mask"]])
    return data_digest(replace(dataset, table=pd.DataFrame({"path": paths})))


def load_lung_images(dataset: Dataset, spec: PreprocessingSpec) -> LungImages:
    """Decode and resize the radiographs and their masks; what cannot be read is left out.

    Raises:
        DataError: None can be read.
    """
    pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    unreadable: dict[str, str] = {}
    for row in dataset.table.itertuples():
        try:
            image = decode((dataset.root / row.path).read_bytes(), at_least=spec.size)
            mask = read_mask(dataset.root / row.mask)
        except (ImageError, OSError) as error:
            unreadable[row.path] = str(error)
        else:
            pairs.append((preprocess(image, spec), _fitted(mask, spec)))
    if not pairs:
        raise DataError(f"None of the {len(unreadable)} radiographs with a mask can be read.")
    table = dataset.table[~dataset.table["path"].isin(unreadable)].reset_index(drop=True)
    images, masks = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    return LungImages(replace(dataset, table=table), images, masks, unreadable)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask in its own size.

    Returns:
        bool, shape (rows, columns).

    Raises:
        ImageError: It is no image, or damaged.
        OSError: The file cannot be read.
    """
    return to_uint8(decode(path.read_bytes()).pixels) == LUNG


def _fitted(mask: NDArray[np.bool_], spec: PreprocessingSpec) -> NDArray[np.uint8]:
    return to_uint8(resize(mask.astype(np.uint8) * LUNG, spec.size))[..., np.newaxis]
