"""From stored values to grays: the grayscale pipeline of DICOM.

Modality LUT or rescale, then VOI LUT or window, then the inversion, once and last.

Source: DICOM PS3.4 N.2; PS3.3 C.11.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from contract.dicom_header import ImageHeader
from contract.errors import PixelDataMismatch
from contract.lookup_tables import read_lookup_table
from contract.pixels import (
    GrayPixels,
    Samples,
    Values,
    in_row_blocks,
    invert,
    look_up,
    rescale,
    row_blocks,
    stretch,
    to_full_scale,
    window_linear,
    window_linear_exact,
    window_sigmoid,
)

# CT is shown with one lung window, in HU, whatever the file was last looked at with: a mediastinal
# window would hide the lung.
LUNG_WINDOW_CENTER_HU = -600.0
LUNG_WINDOW_WIDTH_HU = 1500.0

_TABLE_BYTES = 2
_FUNCTIONAL_GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
_WINDOW_FUNCTIONS = {"LINEAR_EXACT": window_linear_exact, "SIGMOID": window_sigmoid}

Transform = Callable[[Samples], Values]
Predicate = Callable[[Samples], NDArray[np.bool_]]


def frame_attributes(dataset: Dataset, frame: int) -> Dataset:
    """Gather what holds for one frame: its own functional groups, the shared ones, the image.

    Source: DICOM PS3.3 C.7.6.16.
    """
    attributes = Dataset()
    attributes.update(dataset)
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    for groups in (shared[0], per_frame[frame - 1] if per_frame else Dataset()):
        for name in _FUNCTIONAL_GROUPS:
            for item in (groups.get(name) or [])[:1]:
                attributes.update(item)
    return attributes


def to_gray(
    stored: Samples, attributes: Dataset, header: ImageHeader, *, is_little_endian: bool
) -> GrayPixels:
    """Render one monochrome frame.

    Args:
        stored: Stored values, shape (rows, columns), of an integer or floating-point dtype.
        attributes: What holds for this frame.
        header: The image's header.
        is_little_endian: The byte order of the file's tables.

    Returns:
        uint8 where 8 bits are allocated, else uint16, full scale; padding is black.

    Raises:
        PixelDataMismatch: A table or an attribute is malformed, or a sample is no number.
    """
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise PixelDataMismatch("The floating-point pixel data holds values that are no numbers.")
    is_padding = _padding(attributes, stored.dtype, header.keyword)
    modality = _modality(attributes, header, is_little_endian=is_little_endian)
    voi = _voi(attributes, header, is_little_endian=is_little_endian)
    if voi is None:
        low, high = _range(stored, modality, is_padding)
        voi = partial(stretch, low=low, high=high)
    is_inverse = _is_inverse(attributes, header)

    def render(values: Samples) -> GrayPixels:
        shares = voi(modality(values))
        shares = invert(shares) if is_inverse else shares
        return to_full_scale(np.where(is_padding(values), 0, shares), header.gray_bits)

    return _apply(render, stored)


def _is_inverse(attributes: Dataset, header: ImageHeader) -> bool:
    """Tell whether the smallest value is white; DX says it twice, and is inverted once.

    Source: DICOM PS3.3 C.7.6.3.1.2 and C.8.11.3.1.2.
    """
    return (
        header.photometric_interpretation == "MONOCHROME1"
        or attributes.get("PresentationLUTShape") == "INVERSE"
    )


def _modality(attributes: Dataset, header: ImageHeader, *, is_little_endian: bool) -> Transform:
    """Find what turns stored values into the modality's unit.

    Source: DICOM PS3.3 C.11.1.
    """
    items = attributes.get("ModalityLUTSequence")
    if not items:
        slope, intercept = (
            _number(attributes, "RescaleSlope"),
            _number(attributes, "RescaleIntercept"),
        )
        return partial(rescale, slope=1 if slope is None else slope, intercept=intercept or 0)
    table = read_lookup_table(
        items[0], is_little_endian=is_little_endian, is_signed=header.is_signed
    )
    return lambda values: table.look_up(values).astype(np.float64)


def _voi(
    attributes: Dataset, header: ImageHeader, *, is_little_endian: bool
) -> Callable[[Values], Values] | None:
    """Find what turns the modality's unit into shares; None where only the range is left.

    Where the file offers several views, the first is taken, and a table before a window.

    Source: DICOM PS3.3 C.11.2.
    """
    is_rescaled = None not in (attributes.get("RescaleSlope"), attributes.get("RescaleIntercept"))
    if attributes.get("Modality") == "CT" and is_rescaled:
        return partial(window_linear, center=LUNG_WINDOW_CENTER_HU, width=LUNG_WINDOW_WIDTH_HU)
    if items := attributes.get("VOILUTSequence"):
        table = read_lookup_table(
            items[0], is_little_endian=is_little_endian, is_signed=header.is_signed
        )
        return lambda values: table.look_up(values) / (2**table.bits - 1)
    return _window(attributes) or _identity(attributes, header)


def _window(attributes: Dataset) -> Callable[[Values], Values] | None:
    """Read the first window; one that the Standard forbids is taken for none."""
    center, width = _number(attributes, "WindowCenter"), _number(attributes, "WindowWidth")
    function = _WINDOW_FUNCTIONS.get(attributes.get("VOILUTFunction"), window_linear)
    narrowest = 1 if function is window_linear else math.ulp(0)
    if center is None or width is None or width < narrowest:
        return None
    return partial(function, center=center, width=width)


def _identity(attributes: Dataset, header: ImageHeader) -> Callable[[Values], Values] | None:
    """Take values of up to 8 bits as grays already, so that a JPEG stays as it was in a file.

    Secondary captures and converted images have neither a rescale nor a window.
    """
    is_changed = attributes.get("ModalityLUTSequence") or (
        (_number(attributes, "RescaleSlope"), _number(attributes, "RescaleIntercept"))
        not in {(None, None), (1.0, 0.0)}
    )
    if is_changed or header.is_signed or header.bits_stored > 8:
        return None
    return partial(stretch, low=0, high=2**header.bits_stored - 1)


def _padding(attributes: Dataset, dtype: np.dtype[np.generic], keyword: str) -> Predicate:
    """Tell padding from image, by stored value.

    Source: DICOM PS3.3 C.7.5.1.1.2.
    """
    prefix = keyword.removesuffix("PixelData")
    value = attributes.get(f"{prefix}PixelPaddingValue")
    if value is None:
        return lambda values: np.zeros(values.shape, dtype=np.bool_)
    limit = attributes.get(f"{prefix}PixelPaddingRangeLimit")
    # A writer may give the bits of a signed value as an unsigned one; the cast undoes that.
    ends = np.asarray([value, value if limit is None else limit]).astype(dtype)
    low, high = ends.min(), ends.max()
    return lambda values: (values >= low) & (values <= high)


def _range(stored: Samples, modality: Transform, is_padding: Predicate) -> tuple[float, float]:
    """Find the smallest and the largest value of what is no padding; 0 and 0 if all is."""
    visible = _distinct(stored) if _has_table(stored) else _extremes(stored, is_padding)
    values = modality(visible[~is_padding(visible)])
    if values.size == 0:
        return 0, 0
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(high - low):
        raise PixelDataMismatch("The rescaled values are too large to be shown.")
    return low, high


def _extremes(stored: Samples, is_padding: Predicate) -> Samples:
    """Find the two ends of a rescaled range: a line keeps them, whichever way it goes."""
    visible = (stored[rows][~is_padding(stored[rows])] for rows in row_blocks(stored))
    ends = [end for block in visible if block.size for end in (block.min(), block.max())]
    return np.asarray(ends, dtype=stored.dtype)


def _distinct(stored: Samples) -> Samples:
    present = np.zeros(len(_every_value(stored)), dtype=np.bool_)
    for rows in row_blocks(stored):
        present[_unsigned(stored[rows])] = True
    return _every_value(stored)[present]


def _apply(render: Callable[[Samples], GrayPixels], stored: Samples) -> GrayPixels:
    """Render each pixel, or where they are many, each possible value once."""
    if _has_table(stored) and stored.size > len(_every_value(stored)):
        return look_up(render(_every_value(stored)), _unsigned(stored))
    return in_row_blocks(render, stored)


def _has_table(stored: Samples) -> bool:
    return stored.dtype.kind in "iu" and stored.dtype.itemsize <= _TABLE_BYTES


def _every_value(stored: Samples) -> Samples:
    """List all values of a dtype of up to 16 bits, in the order of their bits."""
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")
    return np.arange(2 ** (8 * unsigned.itemsize), dtype=unsigned).view(stored.dtype)


def _unsigned(stored: Samples) -> NDArray[np.unsignedinteger]:
    return stored.view(f"u{stored.dtype.itemsize}")


def _number(attributes: Dataset, keyword: str) -> float | None:
    """Read a number, the first where there are several; None where there is none."""
    value = attributes.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0]
    if value is None or value == "":
        return None
    if not math.isfinite(float(value)):
        raise PixelDataMismatch(f"{dictionary_description(keyword)} is no number.")
    return float(value)
