"""Inputs by number: drawn files, changed as damage and malice change them.

The same seed and number always give the same bytes, so a run goes on where it stopped.
"""

import random
import re
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import uid

from tests.odd_files import (
    as_deep_png,
    as_lut_item,
    as_palette,
    as_raw_tiff,
    png_chunk,
    without_meta,
)
from tests.synthetic import as_dicom, as_jpeg, as_png, as_tiff, saved, synthetic_radiograph

CASES = Path(__file__).resolve().parents[1] / "cases"
CORPUS = Path(__file__).resolve().parent / "corpus"
_EDGES = (0, 1, 2, 7, 8, 9, 15, 16, 17, 127, 128, 255, 256, 4095, 32767, 32768, 65534, 65535)
_LARGE = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 16, 1 << 24)
_DESCRIBES = re.compile(rb"\x28\0|\xff[\xc0-\xc3\xf7\x51\x52]")
# Where the structure stands, which says more than the pixels.
_HEAD_BYTES = 700
_DEFLATED_START = 132
# The last three are data sets without a preamble, and the first is none of them all.
_MAGIC = (
    *(b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(bytes(128) + b"DICM", b"\x08\0\x05\0", b"\x02\0\x10\0UI", b"\0\x08\0\x16UI\0\2"),
)

Mutation = Callable[[random.Random, bytearray], bytearray]
CHEST = synthetic_radiograph(64, 70)
DEEP = CHEST.astype(np.uint16) * 16
COLOUR = np.stack([CHEST, CHEST // 2, 255 - CHEST], axis=-1)


@cache
def originals() -> tuple[bytes, ...]:
    """One sound or odd file of each kind; the drawn ones come first."""
    cases = [path.read_bytes() for path in sorted(CASES.iterdir()) if path.is_file()]
    ljpeg = imagecodecs.ljpeg_encode(DEEP, bitspersample=12)
    streams = {
        uid.JPEGLosslessSV1: ljpeg,
        uid.JPEGLSLossless: imagecodecs.jpegls_encode(DEEP),
        uid.JPEGExtended12Bit: imagecodecs.jpeg_encode(DEEP, 90, bitspersample=12),
        uid.HTJ2KLossless: imagecodecs.htj2k_encode(DEEP, reversible=True),
        uid.JPEG2000: imagecodecs.jpeg2k_encode(DEEP, codecformat="j2k", level=40),
    }
    plain = (
        *(uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian),
        *(uid.DeflatedExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless),
    )
    drawn = [
        *(as_jpeg(CHEST), as_jpeg(COLOUR)),
        saved(CHEST, "JPEG", progressive=True),
        *(as_png(CHEST), as_png(DEEP), as_deep_png(np.stack([DEEP * 16] * 3, axis=-1))),
        saved(Image.fromarray(COLOUR).quantize(), "PNG"),
        *(as_tiff(DEEP), as_raw_tiff(CHEST, DEEP, COLOUR)),
        saved(CHEST, "TIFF", compression="tiff_lzw"),
        as_dicom(CHEST // 64, **as_palette([(i, 9, 255) for i in range(4)], 8)),
        as_dicom(CHEST, ModalityLUTSequence=[as_lut_item(0, range(256), bits=16)]),
        without_meta(as_dicom(DEEP, WindowCenter=2048, WindowWidth=4096)),
        as_dicom(np.stack([CHEST, CHEST]), NumberOfFrames=2, PixelPaddingValue=0),
        as_dicom(CHEST, TransferSyntaxUID=uid.JPEGBaseline8Bit),
        *(as_dicom(DEEP, TransferSyntaxUID=syntax) for syntax in plain),
    ]
    coded = [
        as_dicom(DEEP, TransferSyntaxUID=syntax, BitsStored=12, PixelData=[bytes(each)])
        for syntax, each in streams.items()
    ]
    return (*drawn, *coded, *(each for each in cases if len(each) < 60_000))


def mutated(seed: int, number: int) -> bytes:
    """The input of a number."""
    chance = random.Random(f"{seed}/{number}")  # noqa: S311 - no secret
    if chance.random() < 0.05:
        return chance.choice(_MAGIC) + chance.randbytes(chance.randrange(300))
    data = bytearray(chance.choice(originals()))
    if chance.random() < 0.5:
        data = _unpacked(data)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        data = chance.choice(_MUTATIONS)(chance, data)
    return _packed(bytes(data))


def _place(chance: random.Random, data: bytearray) -> int:
    end = len(data) if chance.random() < 0.4 else min(len(data), _HEAD_BYTES)
    return chance.randrange(end) if end else 0


def _flip(chance: random.Random, data: bytearray) -> bytearray:
    for _ in range(chance.choice((1, 2, 8))):
        if data:
            data[_place(chance, data)] ^= 1 << chance.randrange(8)
    return data


def _number(chance: random.Random, data: bytearray) -> bytearray:
    """Put a number of an edge where a number may stand."""
    place, order = _place(chance, data), chance.choice("<>")
    if chance.random() < 0.5:
        written = struct.pack(f"{order}H", chance.choice(_EDGES))
    else:
        written = struct.pack(f"{order}I", chance.choice(_LARGE))
    data[place : place + len(written)] = written
    return data


def _cut(chance: random.Random, data: bytearray) -> bytearray:
    start = _place(chance, data)
    del data[start : start + chance.choice((1, 2, 4, 16, 1 << 20))]
    return data


def _repeat(chance: random.Random, data: bytearray) -> bytearray:
    start = _place(chance, data)
    part = data[start : start + chance.choice((1, 2, 8, 64, 512))]
    data[start:start] = part * chance.choice((1, 1, 2, 100))
    return data


def _splice(chance: random.Random, data: bytearray) -> bytearray:
    """Put a part of another file in."""
    other = chance.choice(originals())
    start, place = chance.randrange(len(other)), _place(chance, data)
    length = chance.choice((2, 8, 64, len(other)))
    data[place : place + chance.choice((0, length))] = other[start : start + length]
    return data


def _attribute(chance: random.Random, data: bytearray) -> bytearray:
    """Change a value of the group of DICOM that describes pixels, or a marker segment of a code."""
    places = [found.start() for found in _DESCRIBES.finditer(data)]
    if not places:
        return _number(chance, data)
    place = chance.choice(places) + chance.choice((6, 8, 10, 12, 16))
    data[place : place + 2] = struct.pack(chance.choice(("<H", ">H")), chance.choice(_EDGES))
    return data


_MUTATIONS: tuple[Mutation, ...] = (_flip, _number, _cut, _repeat, _splice, _attribute, _attribute)


def _unpacked(data: bytearray) -> bytearray:
    """Inflate what a deflated data set holds, so that its elements change and not its bits."""
    if uid.DeflatedExplicitVRLittleEndian.encode() not in data[:600]:
        return data
    start = _DEFLATED_START + 12 + struct.unpack_from("<I", data, _DEFLATED_START + 8)[0]
    return data[:start] + b"INFLATED" + zlib.decompress(bytes(data[start:]), -zlib.MAX_WBITS)


def _packed(data: bytes) -> bytes:
    """Deflate what was inflated, and give the chunks of a PNG their checksums."""
    head, mark, inflated = data.partition(b"INFLATED")
    if mark:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return head + packer.compress(inflated) + packer.flush()
    if not data.startswith(b"\x89PNG") or zlib.crc32(data) % 2:
        return data
    chunks, position = [data[:8]], 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        chunks.append(png_chunk(data[position + 4 : position + 8], data[position + 8 : end]))
        position = end + 4
    return b"".join(chunks)
