"""The look-up tables of DICOM: modality, VOI and palette colour."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from contract.errors import PixelDataMismatch, UnsupportedFormat
from contract.pixels import GrayPixels, Values, luma

_MAX_ENTRIES = 1 << 16
_SIGN = 1 << 15
_BYTE, _WORD = 8, 16


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Entries for the values from ``first`` on; values outside take the nearest entry.

    ``entries`` is uint16, shape (entries,), each below ``2**bits``. ``bits`` is the depth of the
    entries themselves: writers put 12 bits into tables of 16, and the other way round.

    Source: DICOM PS3.3 C.11.1.1 and C.11.2.1.1.
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
    """Read an item of a Modality or VOI LUT Sequence.

    ``is_little_endian``: The byte order of the file.
    """
    return _table(
        item["LUTDescriptor"].value,
        item["LUTData"].value,
        is_little_endian=is_little_endian,
        is_signed=is_signed,
    )


def palette_grays(stored: Values, dataset: Dataset, *, is_little_endian: bool) -> GrayPixels:
    """Give the gray of each stored value, by the luma of its colour in the palette.

    ``stored``: shape (values,). The result: uint8 or uint16, shape (values,). Source: DICOM PS3.3
    C.7.6.3.1.5 and C.7.9.
    """
    tables = [
        _palette(dataset, colour, is_little_endian=is_little_endian)
        for colour in ("Red", "Green", "Blue")
    ]
    first, bits, size = tables[0].first, tables[0].bits, len(tables[0].entries)
    if any((each.first, each.bits, len(each.entries)) != (first, bits, size) for each in tables):
        raise PixelDataMismatch("The three palette colour tables do not match each other.")
    colours = np.stack([table.entries for table in tables], axis=-1)
    grays = luma(colours.astype(np.uint8) if bits == _BYTE else colours)
    return np.asarray(grays[np.clip(stored - first, 0, size - 1).astype(np.intp)])


def _palette(dataset: Dataset, colour: str, *, is_little_endian: bool) -> LookupTable:
    name = f"{colour}PaletteColorLookupTable"
    descriptor = dataset[f"{name}Descriptor"].value
    if f"{name}Data" not in dataset:
        raise UnsupportedFormat("A segmented palette is not decoded here. Send the image in gray.")
    data = dataset[f"{name}Data"].value
    return _table(descriptor, data, is_little_endian=is_little_endian, is_signed=False)


def _table(
    descriptor: Sequence[int],
    data: bytes | int | Sequence[int],
    *,
    is_little_endian: bool,
    is_signed: bool,
) -> LookupTable:
    """Check a table's data against its descriptor.

    Source: DICOM PS3.3 C.11.1.1: 0 entries mean 65536. A table of 8-bit entries may hold two in
    each word, the first of them in the low byte.
    """
    count, first, bits = (int(value) for value in descriptor)
    count = count or _MAX_ENTRIES
    words = _words(data, is_little_endian=is_little_endian)
    table = (_halves(words) if len(words) < count and bits == _BYTE else words)[:count]
    if len(table) < count or not 1 <= bits <= _WORD:
        raise PixelDataMismatch("A look-up table is shorter or deeper than its descriptor says.")
    # The same bits mean a negative number where the values that the table maps are signed.
    first = first - _MAX_ENTRIES if is_signed and first >= _SIGN else first
    return LookupTable(first, table, max(_BYTE, int(table.max()).bit_length()))


def _words(data: bytes | int | Sequence[int], *, is_little_endian: bool) -> NDArray[np.uint16]:
    """Read 16-bit words, which pydicom gives as bytes or as numbers, after the element's VR."""
    if isinstance(data, bytes):
        words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if is_little_endian else ">u2")
        return words.astype(np.uint16)
    # Signed elements hold the same bits.
    return (np.atleast_1d(np.asarray(data, dtype=np.int64)) & (_MAX_ENTRIES - 1)).astype(np.uint16)


def _halves(words: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return np.stack([words & 0xFF, words >> 8], axis=-1).reshape(-1)
