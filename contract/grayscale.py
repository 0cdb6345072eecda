"""From stored values to grays: the grayscale pipeline of DICOM.

Modality LUT or rescale, then VOI LUT or window, then the inversion, once and last. It is worked out
once for each value that a cell may have, and the picture is looked up in the result.

Source: DICOM PS3.4 N.2; PS3.3 C.11.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from contract.dicom_file import read_numbers, read_texts
from contract.dicom_header import ImageHeader
from contract.errors import PixelDataMismatch, UnsupportedFormat
from contract.pixels import GrayPixels, Samples, Values, luma, row_blocks, stretch, to_full_scale

# CT is shown with one lung window, in HU, whatever the file was last looked at with: a mediastinal
# window would hide the lung.
LUNG_WINDOW_CENTER_HU = -600.0
LUNG_WINDOW_WIDTH_HU = 1500.0
# Values that cannot go below this tell no lung from other tissue, whatever their unit is.
_LUNG_HU = -500.0
# Source: DICOM PS3.3 C.11.1.1.2: unspecified, as many devices say of Hounsfield units.
_HOUNSFIELD = frozenset(
    {"HU", "US", "UNSPECIFIED", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS"}
)

_MAX_ENTRIES = 1 << 16
_FUNCTIONAL_GROUPS = (
    *("FrameAnatomy", "CTImageFrameType", "PlaneOrientation"),
    *("PixelValueTransformation", "FrameVOILUT"),
)

Transform = Callable[[Values], Values]


def frame_attributes(dataset: Dataset, frame: int) -> Dataset:
    """Gather what holds for one frame: its own functional groups, the shared ones, the image."""
    attributes = Dataset()
    attributes.update(dataset)
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    for groups in (shared[0], per_frame[frame - 1] if per_frame else Dataset()):
        # Source: DICOM PS3.3 C.7.6.16.
        for name in _FUNCTIONAL_GROUPS:
            for item in (groups.get(f"{name}Sequence") or [])[:1]:
                attributes.update(item)
    return attributes


def gray_table(
    stored: Values, cells: Samples, attributes: Dataset, header: ImageHeader, *, is_ct: bool
) -> GrayPixels:
    """Give the gray, uint8 or uint16, of each value that a cell may have; padding is black.

    ``stored``: float64, shape (values,). ``cells``: the frame, unsigned, shape (rows, columns), for
    the range where the file names no window.
    """
    is_padding = _padding(stored, attributes, header)
    values, is_signed = _modality(stored, attributes, header)
    lung = windowing("LINEAR", LUNG_WINDOW_CENTER_HU, LUNG_WINDOW_WIDTH_HU)
    is_hounsfield = is_ct and not other_unit_from(attributes, header)
    voi = lung if is_hounsfield else _voi(attributes, header, is_signed=is_signed)
    if voi is None:
        voi = _full_range(values, cells, is_padding)
    shares = voi(values)
    # DX says twice that the smallest value is white, and is inverted once (PS3.3 C.8.11.3.1.2).
    is_inverse = attributes.get("PresentationLUTShape") == "INVERSE"
    if is_inverse or header.photometric_interpretation == "MONOCHROME1":
        shares = 1 - shares
    bits = 8 if header.bits_allocated <= 8 else 16
    return to_full_scale(np.where(is_padding, 0, shares), bits)


def other_unit_from(attributes: Dataset, header: ImageHeader) -> str | None:
    """Name what says that the values of a CT are not in Hounsfield units: PS3.3 C.8.2.1."""
    units = read_texts(attributes, "RescaleType")
    if units and units[0].upper() not in _HOUNSFIELD:
        return "Rescale Type"
    if attributes.get("ModalityLUTSequence"):
        return "Modality LUT Sequence"
    if not any(read_texts(attributes, f"Rescale{each}") for each in ("Slope", "Intercept")):
        return "the lack of Rescale Slope and Rescale Intercept"
    return "Rescale Intercept" if _lowest(attributes, header) > _LUNG_HU else None


def _modality(stored: Values, attributes: Dataset, header: ImageHeader) -> tuple[Values, bool]:
    """Turn stored values into the modality's unit; tell whether it may be negative: C.11.1."""
    if items := attributes.get("ModalityLUTSequence"):
        table = read_lookup_table(
            items[0], is_little_endian=header.is_little_endian, is_signed=header.is_signed
        )
        return table.look_up(stored), False
    slope, intercept = _rescale(attributes)
    return stored * slope + intercept, _lowest(attributes, header) < 0


def _voi(attributes: Dataset, header: ImageHeader, *, is_signed: bool) -> Transform | None:
    """Take the first table that can be used, else the window; None leaves only the range."""
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
            # Some writers leave a table of zeros.
            if window is None or np.ptp(table.entries):
                return table.shares
    is_changed = attributes.get("ModalityLUTSequence") or _rescale(attributes) != (1.0, 0.0)
    if window or is_changed or header.is_signed or header.bits_stored > 8:
        return window
    # Values of up to 8 bits, as of secondary captures, are grays already.
    return partial(stretch, low=0, high=2**header.bits_stored - 1)


def _window(attributes: Dataset) -> Transform | None:
    """Read the first window that the Standard allows; one that it forbids is taken for none."""
    centers, widths = (read_numbers(attributes, f"Window{each}") for each in ("Center", "Width"))
    named = read_texts(attributes, "VOILUTFunction")
    for index, (center, width) in enumerate(zip(centers, widths, strict=False)):
        name = named[min(index, len(named) - 1)].upper() if named else "LINEAR"
        function = name if name in {"LINEAR_EXACT", "SIGMOID"} else "LINEAR"
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


def _padding(stored: Values, attributes: Dataset, header: ImageHeader) -> NDArray[np.bool_]:
    """Tell padding from image, by stored value. Source: DICOM PS3.3 C.7.5.1.1.2."""
    value = attributes.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, np.bool_)
    limit = attributes.get("PixelPaddingRangeLimit")
    # A writer may give the bits of a signed value as an unsigned one, or the other way round.
    first, last = np.sort(header.as_stored(np.array([value, value if limit is None else limit])))
    lowest, highest = header.stored_range
    if not lowest <= first <= last <= highest:
        # No stored value can be it, but a cell with the bits above them can.
        stored = header.as_stored(np.arange(len(stored), dtype=float))
    return np.asarray((stored >= first) & (stored <= last))


def _full_range(values: Values, cells: Samples, is_padding: NDArray[np.bool_]) -> Transform:
    """Stretch what is in the picture and no padding, smallest black to largest white."""
    counts = np.zeros(len(values), np.int64)
    for rows in row_blocks(cells):
        counts += np.bincount(cells[rows].ravel(), minlength=len(values))
    shown = np.flatnonzero((counts > 0) & ~is_padding)
    shown = shown[np.argsort(values[shown], kind="stable")]
    low, high = 0.0, 0.0
    if shown.size:
        high = _largest(values[shown], counts[shown])
        low = -_largest(-values[shown[::-1]], counts[shown[::-1]])
    if not math.isfinite(high - low):
        raise PixelDataMismatch("The rescaled values are too large to be shown.")
    return partial(stretch, low=low, high=high)


def _largest(values: Values, counts: NDArray[np.int64]) -> float:
    """Find the largest of rising values that belongs to the picture."""
    # Up to one pixel in a thousand is dead, or a marker, if it lies apart from all below it.
    above = counts.sum() - np.cumsum(counts)[:-1]
    is_apart = np.diff(values) * 32 > values[:-1] - values[0]
    last = np.flatnonzero(is_apart & (above * 1000 <= counts.sum()))
    return float(values[last[0] if last.size else -1])


def _lowest(attributes: Dataset, header: ImageHeader) -> float:
    """The least rescaled value that the stored bits can hold."""
    slope, intercept = _rescale(attributes)
    return min(end * slope for end in header.stored_range) + intercept


def _rescale(attributes: Dataset) -> tuple[float, float]:
    """Read slope and intercept; without them nothing is rescaled."""

    def read(keyword: str, otherwise: float) -> float:
        first, *_ = [*read_numbers(attributes, keyword), otherwise]
        if first is None:
            raise PixelDataMismatch(f"{dictionary_description(keyword)} is no number: malformed.")
        return first

    return read("RescaleSlope", 1.0), read("RescaleIntercept", 0.0)


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Entries for the values from ``first`` on; values outside take the nearest: C.11.1.1.

    ``bits`` is the depth of the entries themselves: writers put 12 bits into tables of 16, and the
    other way round.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def look_up(self, values: Values) -> Values:
        """Replace each value by its entry, the value rounded to a whole number."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[index.astype(np.intp)], np.float64)

    def shares(self, values: Values) -> Values:
        """Replace each value by its entry, as a share of the full scale of the entries."""
        return np.asarray(self.look_up(values) / (2**self.bits - 1))


def read_lookup_table(item: Dataset, *, is_little_endian: bool, is_signed: bool) -> LookupTable:
    """Read a Modality or VOI LUT, whose input may be signed, and check it by its descriptor.

    Source: DICOM PS3.3 C.11.1.1: 0 entries mean 65536. A table of 8-bit entries may hold two in
    each word, the first of them in the low byte.
    """
    _, named, _ = descriptor = item["LUTDescriptor"].value
    # In implicit VR nothing tells the sign of the three.
    count, first, bits = (int(value) % _MAX_ENTRIES for value in descriptor)
    count = count or _MAX_ENTRIES
    words = _words(item["LUTData"].value, is_little_endian=is_little_endian)
    if len(words) < count and bits == 8:
        words = np.stack([words & 0xFF, words >> 8], axis=-1).reshape(-1)
    table = words[:count]
    if len(table) < count or not 1 <= bits <= 16:
        raise PixelDataMismatch("A look-up table is shorter or deeper than its descriptor says.")
    # The same bits mean a negative number where the values that the table maps are signed, or where
    # it was read as one and the table would not end within 16 bits.
    is_negative = is_signed or (named < 0 and first + count > _MAX_ENTRIES)
    first = first - _MAX_ENTRIES if is_negative and first >= _MAX_ENTRIES // 2 else first
    return LookupTable(first, table, max(8, int(table.max()).bit_length()))


def palette_grays(stored: Values, attributes: Dataset, header: ImageHeader) -> GrayPixels:
    """Give the gray of each stored value, by the luma of its colour in the palette: C.7.6.3.1.5."""
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    if any(f"Segmented{name}Data" in attributes for name in names):
        raise UnsupportedFormat(
            "A palette in segments is not decoded here. Send the image in RGB or MONOCHROME2."
        )
    channels = []
    for name in names:
        item = Dataset()
        item.add_new("LUTDescriptor", "US", attributes[f"{name}Descriptor"].value)
        item.add_new("LUTData", "OW", attributes[f"{name}Data"].value)
        table = read_lookup_table(item, is_little_endian=header.is_little_endian, is_signed=False)
        channels.append(table.look_up(stored).astype(np.uint16))
    colours = np.stack(channels, axis=-1)
    # As in other tables, the entries themselves tell how deep they are.
    return luma(colours.astype(np.uint8) if colours.max() < 256 else colours)


def _words(data: bytes | int | Sequence[int], *, is_little_endian: bool) -> NDArray[np.uint16]:
    """Read 16-bit words, which pydicom gives as bytes or as numbers, after the element's VR."""
    if isinstance(data, bytes):
        words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if is_little_endian else ">u2")
        return words.astype(np.uint16)
    # Signed elements hold the same bits.
    return (np.atleast_1d(np.asarray(data, dtype=np.int64)) & (_MAX_ENTRIES - 1)).astype(np.uint16)
