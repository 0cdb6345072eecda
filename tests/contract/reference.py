"""The gray that an image should have, worked out with pydicom's own functions and none of ours."""

import io

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import (
    apply_color_lut,
    apply_modality_lut,
    apply_voi,
    apply_windowing,
)
from pydicom.pixels.utils import pixel_array

Shares = NDArray[np.float64]

LUMA = np.array([0.299, 0.587, 0.114])
LUNG_CENTER_HU, LUNG_WIDTH_HU = -600, 1500


def reference_grays(data: bytes, frame: int = 1) -> Shares:
    """Render a frame: 0 black to 1 white, shape (rows, columns)."""
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    stored = pixel_array(dataset, index=frame - 1)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        bits = dataset.RedPaletteColorLookupTableDescriptor[2]
        return np.asarray(apply_color_lut(stored, dataset) @ LUMA / (2**bits - 1))
    if dataset.SamplesPerPixel == 3:
        return np.asarray(stored @ LUMA / (2**dataset.BitsStored - 1))
    shares = _displayed(stored, dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shares = 1 - shares
    return np.where(_is_padding(stored, dataset), 0, shares)


def _displayed(stored: NDArray[np.generic], dataset: Dataset) -> Shares:
    values = apply_modality_lut(stored, dataset).astype(np.float64)
    if dataset.get("Modality") == "CT":
        return np.clip((values - LUNG_CENTER_HU + 0.5) / (LUNG_WIDTH_HU - 1) + 0.5, 0, 1)
    if "VOILUTSequence" in dataset:
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        return np.asarray(apply_voi(np.rint(values).astype(np.int64), dataset) / (2**bits - 1))
    if "WindowWidth" in dataset:
        # The ends of the output, which for a SIGMOID lie far outside.
        black, white = apply_windowing(np.array([-1e5, 1e5]), dataset)
        return np.asarray((apply_windowing(values, dataset) - black) / (white - black))
    if dataset.get("BitsStored") == 8 and np.array_equal(values, stored):
        return np.asarray(values / 255)
    visible = values[~_is_padding(stored, dataset)]
    return np.asarray((values - visible.min()) / float(np.ptp(visible)))


def _is_padding(stored: NDArray[np.generic], dataset: Dataset) -> NDArray[np.bool_]:
    if "PixelPaddingValue" not in dataset:
        return np.zeros(stored.shape, dtype=np.bool_)
    ends = (
        dataset.PixelPaddingValue,
        dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue),
    )
    return np.asarray((stored >= min(ends)) & (stored <= max(ends)))
