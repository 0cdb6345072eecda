"""What decoding a file may take, worked out from its structure before anything decodes it.

A decoder allocates and computes what a file claims, and a few hundred bytes can claim gigabytes.
Whatever would take more than ``MAX_MEMORY_BYTES`` or ``MAX_SECONDS`` is refused here. What is left
is plain, and may be decoded anywhere, or is decoded where it can be stopped.
"""

import zlib
from dataclasses import dataclass

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from contract.codestream import CodestreamHeader, read_codestream_header, read_jpeg_header
from contract.dicom_walk import DataSetClaims, walk_data_set, walk_meta
from contract.errors import (
    CorruptImage,
    FrameOutOfRange,
    PixelDataMismatch,
    TooExpensive,
    TooManyPixels,
)
from contract.formats import sniff

MAX_MEMORY_BYTES = 1_000_000_000
MAX_SECONDS = 5.0

# Every thread may decode as much at once, and the decoders share a budget.
_PLAIN_BYTES = 100_000_000
_PLAIN_S = 1.0
_PLAIN_CHUNKS, _MAX_CHUNKS = 8_192, 65_536
_PLAIN_ELEMENTS, _PLAIN_DEPTH = 10_000, 16
_ELEMENT_S = 2e-5
_NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
# Bytes for each pixel of a PNG, by whether it is deep and has one channel; measured, rounded up.
_PNG_BYTES = {(False, True): 4, (False, False): 8, (True, True): 8, (True, False): 28}
# A TIFF is bounded by the limits of the process that decodes it. Radiographs compress to a quarter.
_TIFF_GROWTH, _MOST_OF_A_TIFF = 16, 800_000_000
# The size of the pixel data stands this early in a data set.
_HEADER_BYTES = 1 << 20
# What else a deflated data set may hold: functional groups, tables, an icon, private elements.
_OTHER_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class DecodeCost:
    """What decoding one file takes at most.

    ``plain`` is True for what may be decoded in a thread: common JPEG, PNG and native DICOM within
    bounds of memory, time, chunks, elements and nesting. All else belongs into a process that can
    be stopped. ``memory_bytes`` is an upper estimate, the file itself not counted.
    """

    plain: bool
    memory_bytes: int


def estimate_cost(data: bytes, *, frame: int = 1, max_pixels: int) -> DecodeCost:
    """Estimate what decoding a file takes, from its headers alone; arguments as of ``decode``.

    What is damaged is no error here unless it hides the cost: ``decode`` says what is wrong.

    Raises:
        ImageError: The format is none that is decoded, a header contradicts itself, or the file
            would take more than ``max_pixels``, ``MAX_MEMORY_BYTES`` or ``MAX_SECONDS``.
    """
    name = sniff(data)
    if name == "DICOM":
        return _dicom_cost(data, frame, max_pixels)
    if name == "TIFF":
        return DecodeCost(plain=False, memory_bytes=min(_TIFF_GROWTH * len(data), _MOST_OF_A_TIFF))
    check_frame_number(frame, 1)
    return _jpeg_cost(data, max_pixels) if name == "JPEG" else _png_cost(data, max_pixels)


def check_frame_number(frame: int, frames: int) -> None:
    """Check that the asked-for frame exists; as in DICOM PS3.18 8.2 the first is 1."""
    if not 1 <= frame <= frames:
        raise FrameOutOfRange(f"Frame {frame} was asked for; the image has frames 1 to {frames}.")


def check_size(rows: int, columns: int, max_pixels: int) -> int:
    """Check the size that a header claims; return how many pixels that is."""
    if rows < 1 or columns < 1:
        raise CorruptImage("The header says that the image has no pixels.")
    if rows * columns > max_pixels:
        raise TooManyPixels(f"The image has {rows} x {columns} pixels; the limit is {max_pixels}.")
    return rows * columns


def check_codestream(
    codestream: bytes, rows: int, columns: int, samples: int
) -> CodestreamHeader | None:
    """Check what a codestream in a DICOM file claims, if it is one that is known."""
    claim = read_codestream_header(codestream)
    if claim is None:
        return None
    if (claim.rows, claim.columns, claim.components) != (rows, columns, samples):
        raise PixelDataMismatch(
            f"The compressed image has {claim.rows} x {claim.columns} pixels of {claim.components} "
            f"samples, its header says {rows} x {columns} of {samples}."
        )
    _within(claim.memory_bytes, claim.seconds)
    return claim


def inflate(data: bytes, claims: DataSetClaims) -> tuple[bytes, DataSetClaims]:
    """Inflate a deflated data set as far as its own header says. Source: DICOM PS3.5 A.5."""
    start = claims.end
    pixel_bytes = _read_deflated_header(data, claims)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data[start:], pixel_bytes + _OTHER_BYTES)
    except zlib.error as error:
        raise CorruptImage("The deflated DICOM data set is damaged.") from error
    if inflater.unconsumed_tail:
        raise TooExpensive("The deflated DICOM data set is larger than its header says.")
    if not inflater.eof:
        raise CorruptImage("The deflated DICOM data set is truncated.")
    # The header was walked already, what follows it was not.
    whole = DataSetClaims(claims.transfer_syntax)
    walk_data_set(inflated, 0, whole)
    return inflated, whole


def _within(memory_bytes: float, seconds: float, *, plain: bool = False) -> DecodeCost:
    if memory_bytes > MAX_MEMORY_BYTES or seconds > MAX_SECONDS:
        raise TooExpensive(
            f"Decoding it would take up to {memory_bytes / 1e6:.0f} MB and {seconds:.1f} s; the "
            f"limits are {MAX_MEMORY_BYTES / 1e6:.0f} MB and {MAX_SECONDS:.0f} s. Send it in fewer "
            "pixels or parts, or uncompressed."
        )
    return DecodeCost(plain and memory_bytes <= _PLAIN_BYTES, int(memory_bytes))


def _jpeg_cost(data: bytes, max_pixels: int) -> DecodeCost:
    header = read_jpeg_header(data)
    if header is None:
        return DecodeCost(plain=False, memory_bytes=len(data))
    check_size(header.rows, header.columns, max_pixels)
    plain = header.is_common_jpeg and header.seconds <= _PLAIN_S
    return _within(header.memory_bytes, header.seconds, plain=plain)


def _png_cost(data: bytes, max_pixels: int) -> DecodeCost:
    """Count the chunks, and read IHDR. Source: PNG (Third Edition), 5.3 and 11.2.1."""
    position, chunks = 8, 0
    while position + 8 <= len(data):
        chunks += 1
        if chunks > _MAX_CHUNKS:
            raise TooExpensive(f"The PNG has more than {_MAX_CHUNKS} chunks.")
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    if data[12:16] != b"IHDR" or len(data) < 26:
        return DecodeCost(plain=False, memory_bytes=len(data))
    columns, rows = (int.from_bytes(data[place : place + 4], "big") for place in (16, 20))
    is_gray_or_palette = data[25] in {0, 3}
    per_pixel = _PNG_BYTES[data[24] > 8, is_gray_or_palette]
    needed = per_pixel * check_size(rows, columns, max_pixels)
    return _within(needed, 0, plain=chunks <= _PLAIN_CHUNKS)


def _dicom_cost(data: bytes, frame: int, max_pixels: int) -> DecodeCost:
    claims = walk_meta(data)
    is_deflated = claims.transfer_syntax == DeflatedExplicitVRLittleEndian
    if is_deflated:
        _read_deflated_header(data, claims)
    else:
        walk_data_set(data, claims.end, claims)
    needed = 0
    if min(claims.rows, claims.columns) > 0:
        needed = check_size(claims.rows, claims.columns, max_pixels) * claims.bytes_per_pixel
    pixel_bytes = claims.native_bytes or sum(length for _, length in claims.fragments)
    # The walk of a native file reaches its end; otherwise it was not walked as it will be read.
    plain = (
        claims.transfer_syntax in _NATIVE
        and claims.end == len(data)
        and claims.native_bytes is not None
        and claims.elements <= _PLAIN_ELEMENTS
        and claims.depth <= _PLAIN_DEPTH
    )
    if is_deflated:
        # zlib joins its blocks in the end, and then pydicom copies the pixel data out.
        pixel_bytes = 2 * claims.pixel_bytes + _OTHER_BYTES
    elif claims.fragments:
        codestream = _codestream(data, claims, frame)
        claim = check_codestream(codestream, claims.rows, claims.columns, claims.samples)
        needed += claim.memory_bytes if claim else 0
        pixel_bytes *= 2
    return _within(needed + pixel_bytes, claims.elements * _ELEMENT_S, plain=plain)


def _codestream(data: bytes, claims: DataSetClaims, frame: int) -> bytes:
    """Join the fragments of one frame, or where it is not plain which they are, take the first."""
    _, *fragments = claims.fragments
    if claims.frames > 1:
        index = frame - 1 if len(fragments) == claims.frames >= frame > 0 else 0
        fragments = fragments[index : index + 1]
    return b"".join(data[place : place + length] for place, length in fragments)


def _read_deflated_header(data: bytes, claims: DataSetClaims) -> int:
    """Read how long the pixel data of a deflated data set should be."""
    try:
        head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[claims.end :], _HEADER_BYTES)
    except zlib.error:
        head = b""  # whoever inflates it in full will tell
    walk_data_set(head, 0, claims)
    return claims.pixel_bytes if len(head) == _HEADER_BYTES else 0
