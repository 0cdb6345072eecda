"""From stored values to grays: the grayscale pipeline of DICOM.

Modality LUT or rescale, then VOI LUT or window, then the inversion, once and last. It is worked out
once for each value that a cell may have, and the picture is looked up in the result.

Source: DICOM PS3.4 N.2; PS3.3 C.11.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from contract.dicom_file import read_texts
from contract.dicom_header import ImageHeader
from contract.errors import PixelDataMismatch
from contract.lookup_tables import read_lookup_table, read_palette_as_gray
from contract.pixels import (
    GrayPixels,
    Samples,
    Values,
    in_row_blocks,
    look_up,
    row_blocks,
    stretch,
    to_full_scale,
)

# CT is shown with one lung window, in HU, whatever the file was last looked at with: a mediastinal
# window would hide the lung.
LUNG_WINDOW_CENTER_HU = -600.0
LUNG_WINDOW_WIDTH_HU = 1500.0

_FUNCTIONAL_GROUPS = (
    "FrameAnatomySequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
)
_WINDOW_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")

Transform = Callable[[Values], Values]
StoredOf = Callable[[Samples], Values]


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
    cells: Samples,
    stored_of: StoredOf,
    attributes: Dataset,
    header: ImageHeader,
    *,
    is_ct: bool,
) -> GrayPixels:
    """Render one monochrome frame.

    ``cells``: As decoded, shape (rows, columns), unsigned or floating-point.

    Returns:
        uint8 where 8 bits are allocated, else uint16, full scale; padding is black.
    """
    is_padding = _padding(attributes, header)
    modality, signed = _modality(attributes, header)
    is_rescaled = all(read_texts(attributes, each) for each in ("RescaleSlope", "RescaleIntercept"))
    lung = windowing("LINEAR", LUNG_WINDOW_CENTER_HU, LUNG_WINDOW_WIDTH_HU)
    voi = lung if is_ct and is_rescaled else _voi(attributes, header, is_signed=signed)
    if voi is None:
        low, high = _range(cells, stored_of, modality, is_padding)
        voi = partial(stretch, low=low, high=high)
    is_inverse = _is_inverse(attributes, header)

    def render(block: Samples) -> GrayPixels:
        stored = stored_of(block)
        shares = voi(modality(stored))
        shares = 1 - shares if is_inverse else shares
        return to_full_scale(np.where(is_padding(stored), 0, shares), header.gray_bits)

    return _for_each_value(render, cells)


def palette_to_gray(
    cells: Samples, stored_of: StoredOf, attributes: Dataset, header: ImageHeader
) -> GrayPixels:
    """Render one frame of indices into a palette."""
    first, grays = read_palette_as_gray(attributes, is_little_endian=header.is_little_endian)

    def render(block: Samples) -> GrayPixels:
        index = np.clip(stored_of(block) - first, 0, len(grays) - 1).astype(np.intp)
        return np.asarray(grays[index])

    return _for_each_value(render, cells)


def _is_inverse(attributes: Dataset, header: ImageHeader) -> bool:
    """Tell whether the smallest value is white; DX says it twice, and is inverted once.

    Source: DICOM PS3.3 C.7.6.3.1.2 and C.8.11.3.1.2.
    """
    return (
        header.photometric_interpretation == "MONOCHROME1"
        or attributes.get("PresentationLUTShape") == "INVERSE"
    )


def _modality(attributes: Dataset, header: ImageHeader) -> tuple[Transform, bool]:
    """Find what turns stored values into the modality's unit, and whether that may be negative.

    Source: DICOM PS3.3 C.11.1.
    """
    if items := attributes.get("ModalityLUTSequence"):
        table = read_lookup_table(
            items[0], is_little_endian=header.is_little_endian, is_signed=header.is_signed
        )
        return table.look_up, False
    slope, intercept = _rescale(attributes)
    lowest = -(2.0 ** (header.bits_stored - 1)) if header.is_signed else 0.0
    highest = lowest + 2.0**header.bits_stored - 1
    is_signed = min(lowest * slope, highest * slope) + intercept < 0
    return lambda values: values * slope + intercept, is_signed


def _voi(attributes: Dataset, header: ImageHeader, *, is_signed: bool) -> Transform | None:
    """Find what turns the modality's unit into shares; None where only the range is left.

    Where the file offers several views, the first that can be used is taken, and a table before a
    window.

    Source: DICOM PS3.3 C.11.2.
    """
    window = _window(attributes)
    if items := attributes.get("VOILUTSequence"):
        try:
            table = read_lookup_table(
                items[0], is_little_endian=header.is_little_endian, is_signed=is_signed
            )
        except (PixelDataMismatch, KeyError, TypeError, ValueError):
            if window is None:
                raise
        else:
            return table.shares
    return window or _identity(attributes, header)


def _window(attributes: Dataset) -> Transform | None:
    """Read the first window that the Standard allows; one that it forbids is taken for none."""
    centers, widths = _numbers(attributes, "WindowCenter"), _numbers(attributes, "WindowWidth")
    named = read_texts(attributes, "VOILUTFunction")
    for index, (center, width) in enumerate(zip(centers, widths, strict=False)):
        name = named[min(index, len(named) - 1)].upper() if named else "LINEAR"
        function = name if name in _WINDOW_FUNCTIONS else "LINEAR"
        narrowest = 1 if function == "LINEAR" else math.ulp(0)
        if center is not None and width is not None and width >= narrowest:
            return windowing(function, center, width)
    return None


def windowing(function: str, center: float, width: float) -> Transform:
    """Prepare a window whose output is shares: the full scale of a stored value of one bit."""
    window = Dataset()
    window.PhotometricInterpretation = "MONOCHROME2"
    window.BitsStored, window.PixelRepresentation = 1, 0
    window.VOILUTFunction = function
    # As a DS, a number is cut to 16 characters.
    window.add_new("WindowCenter", "FD", center)
    window.add_new("WindowWidth", "FD", width)

    def apply(values: Values) -> Values:
        with np.errstate(over="ignore"):
            return np.asarray(apply_windowing(values, window))

    return apply


def _identity(attributes: Dataset, header: ImageHeader) -> Transform | None:
    """Take values of up to 8 bits as grays already, so that a JPEG stays as it was in a file.

    Secondary captures and converted images have neither a rescale nor a window.
    """
    is_changed = attributes.get("ModalityLUTSequence") or _rescale(attributes) != (1.0, 0.0)
    if is_changed or header.is_signed or header.bits_stored > 8:
        return None
    return partial(stretch, low=0, high=2**header.bits_stored - 1)


def _padding(attributes: Dataset, header: ImageHeader) -> Callable[[Values], NDArray[np.bool_]]:
    """Tell padding from image, by stored value.

    Source: DICOM PS3.3 C.7.5.1.1.2.
    """
    value = attributes.get("PixelPaddingValue")
    if value is None:
        return lambda values: np.zeros(values.shape, dtype=np.bool_)
    limit = attributes.get("PixelPaddingRangeLimit")
    # A writer may give the bits of a signed value as an unsigned one, or the other way round.
    ends = [header.as_stored(each) for each in (value, value if limit is None else limit)]
    low, high = min(ends), max(ends)
    return lambda values: (values >= low) & (values <= high)


def _range(
    cells: Samples,
    stored_of: StoredOf,
    modality: Transform,
    is_padding: Callable[[Values], NDArray[np.bool_]],
) -> tuple[float, float]:
    """Find the smallest and the largest value of what is no padding; 0 and 0 if all is."""
    present = np.zeros(len(_every_value(cells)), dtype=np.bool_)
    for rows in row_blocks(cells):
        present[cells[rows]] = True
    stored = stored_of(_every_value(cells)[present])
    values = modality(stored[~is_padding(stored)])
    if not values.size:
        return 0.0, 0.0
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(high - low):
        raise PixelDataMismatch("The rescaled values are too large to be shown.")
    return low, high


def _for_each_value(render: Callable[[Samples], GrayPixels], cells: Samples) -> GrayPixels:
    """Render each cell, or where they are many, each possible value once."""
    if cells.size > len(_every_value(cells)):
        return look_up(render(_every_value(cells)), cells)
    return in_row_blocks(render, cells)


def _every_value(cells: Samples) -> Samples:
    return np.arange(2 ** (8 * cells.dtype.itemsize), dtype=cells.dtype)


def _rescale(attributes: Dataset) -> tuple[float, float]:
    """Read slope and intercept; without them nothing is rescaled."""

    def read(keyword: str, otherwise: float) -> float:
        first, *_ = [*_numbers(attributes, keyword), otherwise]
        if first is None:
            raise PixelDataMismatch(f"{dictionary_description(keyword)} is no number: malformed.")
        return first

    return read("RescaleSlope", 1.0), read("RescaleIntercept", 0.0)


def _numbers(attributes: Dataset, keyword: str) -> list[float | None]:
    """Read decimal strings, with a point or a comma; None stands for what is no number."""
    return [_number(text) for text in read_texts(attributes, keyword)]


def _number(text: str) -> float | None:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
