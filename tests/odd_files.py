"""Files and attributes that the usual encoders would not write, but that hospitals send."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.synthetic import Pixels

ByteOrder = Literal["<", ">"]

# The file meta information begins behind the preamble and the prefix.
_META_START = 132


def as_deep_png(samples: NDArray[np.uint16]) -> bytes:
    """Encode 16-bit samples as PNG, which Pillow cannot: shape (rows, columns, 2, 3 or 4).

    Source: PNG Specification (Third Edition), 11.2 and 11.3.
    """
    rows, columns, channels = samples.shape
    lines = samples.astype(">u2").reshape(rows, -1).view(np.uint8)
    unfiltered = np.pad(lines, ((0, 0), (1, 0))).tobytes()
    header = struct.pack(">IIBBBBB", columns, rows, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(unfiltered)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in chunks)


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Frame the data of one PNG chunk."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def as_raw_tiff(
    *pages: Pixels, order: ByteOrder = "<", tags: Mapping[int, Sequence[int]] | None = None
) -> bytes:
    """Write uncompressed TIFF pages with any tags, which Pillow would choose itself.

    ``pages``: shape (rows, columns) or (rows, columns, samples), of any NumPy dtype. ``tags``, by
    number, override what follows from them. Source: TIFF 6.0, section 2.
    """
    file = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0)
    link = 4
    for samples in pages:
        data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
        place = len(file) + len(file) % 2
        file = file.ljust(place, b"\0") + data + b"\0" * (len(data) % 2)
        file = file[:link] + struct.pack(f"{order}I", len(file)) + file[link + 4 :]
        values = _tiff_tags(samples, place, len(data))
        values |= tags or {}
        entries, extra = _tiff_entries(order, values, len(file))
        link = len(file) + len(entries) - 4
        file += entries + extra
    return file


def as_lut_item(
    first: int, entries: Sequence[int], bits: int, *, is_signed: bool = False
) -> Dataset:
    """Build an item of a Modality or VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if is_signed else "US", [len(entries) % 65536, first, bits])
    item.add_new("LUTData", "US", list(entries))
    return item


def as_palette(
    colours: Sequence[tuple[int, ...]], bits: int, *, first: int = 0, order: ByteOrder = "<"
) -> dict[str, object]:
    """Give the attributes of a palette colour image whose colours these are."""
    attributes: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        name = f"{colour}PaletteColorLookupTable"
        entries = np.array([samples[channel] for samples in colours], dtype=f"{order}u2")
        attributes[f"{name}Descriptor"] = [len(colours), first, bits]
        attributes[f"{name}Data"] = entries.tobytes()
    return attributes


def _tiff_tags(samples: Pixels, place: int, length: int) -> dict[int, Sequence[int]]:
    rows, columns, *channels = samples.shape
    count = channels[0] if channels else 1
    return {
        256: [columns],
        257: [rows],
        258: [samples.dtype.itemsize * 8] * count,
        262: [2 if count > 2 else 1],
        273: [place],
        277: [count],
        278: [rows],
        279: [length],
        339: [{"u": 1, "i": 2, "f": 3}[samples.dtype.kind]] * count,
    }


def _tiff_entries(order: str, tags: Mapping[int, Sequence[int]], place: int) -> tuple[bytes, bytes]:
    """Write a directory, and the values that do not fit into its entries."""
    entries, extra = struct.pack(f"{order}H", len(tags)), b""
    after = place + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(packed) > 4:
            packed, extra = struct.pack(f"{order}I", after + len(extra)), extra + packed
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + packed
    return entries + b"\0\0\0\0", extra


def without_meta(data: bytes) -> bytes:
    """Strip preamble, prefix and file meta information off a DICOM file."""
    length = struct.unpack_from("<I", data, _META_START + 8)[0]
    return data[_META_START + 12 + length :]


def with_transfer_syntax(data: bytes, syntax: str) -> bytes:
    """Name another transfer syntax in the file meta information, and change nothing else."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    start = data.index(b"\2\0\x10\0UI") + 6
    end = start + 2 + struct.unpack_from("<H", data, start)[0]
    return data[:start] + struct.pack("<H", len(uid)) + uid + data[end:]
