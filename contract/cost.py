"""What it would cost to decode a file, read from its headers alone.

What is plain is decoded where it is, in a time and a memory that its size bounds. Everything else
goes to a decoder that can be stopped.
"""

from typing import NamedTuple

from contract.codestream import read_jpeg_header
from contract.errors import ContractError
from contract.formats import sniff
from contract.frame import BYTES_PER_PIXEL

_BASELINE = 0xC0
_MAX_CHUNKS = 4096
_MAX_ELEMENTS = 2000
_UNDEFINED = b"\xff\xff\xff\xff"
_NATIVE = (b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0")
_DICOM_COPIES = 4


class DecodeCost(NamedTuple):
    """Whether a file is plain, and how many bytes decoding it may take at most."""

    plain: bool
    memory_bytes: int


def estimate_cost(data: bytes, *, frame: int = 1, max_pixels: int = 100_000_000) -> DecodeCost:
    """Estimate what it costs to decode one frame of a file; never raises.

    Args:
        data: The whole file.
        frame: Which frame, from 1.
        max_pixels: The largest image that would be decoded.
    """
    del frame
    most = max_pixels * BYTES_PER_PIXEL
    try:
        name = sniff(data)
    except ContractError:
        # It is refused at once.
        return DecodeCost(plain=True, memory_bytes=0)
    if name == "JPEG":
        header = read_jpeg_header(data)
        if header is None:
            return DecodeCost(plain=False, memory_bytes=most)
        pixels = min(header.rows * header.columns, max_pixels)
        per_pixel = 1 if header.process == _BASELINE else 1 + 2 * header.components
        plain = header.process == _BASELINE and data.count(b"\xff\xda") <= header.components
        return DecodeCost(plain, max(1, per_pixel) * pixels)
    if name == "PNG":
        return DecodeCost(_has_few_chunks(data), most)
    if name == "DICOM":
        native = any(syntax in data[:2048] for syntax in _NATIVE)
        few = data.count(_UNDEFINED) <= _MAX_ELEMENTS and data.count(b"\xfe\xff\x00\xe0") <= (
            _MAX_ELEMENTS
        )
        return DecodeCost(native and few, most + _DICOM_COPIES * len(data))
    return DecodeCost(plain=False, memory_bytes=most)


def _has_few_chunks(data: bytes) -> bool:
    """Walk the chunks of a PNG; one that is cut off ends the walk, as it ends the decoding."""
    position, chunks = 8, 0
    while position + 8 <= len(data) and chunks <= _MAX_CHUNKS:
        position += 12 + int.from_bytes(data[position : position + 4], "big")
        chunks += 1
    return chunks <= _MAX_CHUNKS
