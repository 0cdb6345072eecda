"""The elements of a DICOM data set, walked and counted but not read.

pydicom makes objects of all items that it passes, so that a small file can cost gigabytes and
minutes. This walk allocates nothing by a claim, and stops at a bound.
"""

from dataclasses import dataclass, field
from typing import Literal

from pydicom.uid import ExplicitVRBigEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from contract.errors import TooExpensive

MAX_ELEMENTS, MAX_DEPTH = 65_536, 256
UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM_GROUP, _ITEM, _ENDS = 0xFFFE, 0xFFFEE000, frozenset({0xFFFEE00D, 0xFFFEE0DD})
_TRANSFER_SYNTAX = 0x00020010
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_LONG = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)
# Those sequences whose items are read: anatomic region, view, tables, functional groups.
_READ_SEQUENCES = frozenset(
    (
        *(0x00082218, 0x00209071, 0x00540220, 0x00283000, 0x00283010, 0x00289145, 0x00289132),
        *(0x52009229, 0x52009230),
    )
)
_NUMBER_OF_FRAMES = 0x00280008
_SIZES = {0x00280002: "samples", 0x00280010: "rows", 0x00280011: "columns", 0x00280100: "bits"}

Order = Literal["little", "big"]


@dataclass(slots=True)
class DataSetClaims:
    """What a data set says of its size and its structure.

    ``native_bytes`` is the length of native pixel data. ``fragments`` are the places and lengths of
    the items of encapsulated pixel data, the offset table first. ``end`` is where the walk ended:
    behind the data, where its last element is cut off.
    """

    transfer_syntax: str = ""
    rows: int = 0
    columns: int = 0
    frames: int = 1
    samples: int = 1
    bits: int = 16
    native_bytes: int | None = None
    fragments: list[tuple[int, int]] = field(default_factory=list)
    elements: int = 0
    depth: int = 0
    end: int = 0

    @property
    def pixel_bytes(self) -> int:
        """The length that the pixel data should have, all frames."""
        return self.rows * self.columns * self.frames * self.samples * self.bits // 8

    @property
    def bytes_per_pixel(self) -> int:
        """How many bytes are held at once for each pixel of a frame that is decoded."""
        # Its cells as they are in the file, and put in order; then the gray, or before it the
        # 32-bit integers in which the decoders of codestreams work.
        cells = self.samples * max(1, self.bits // 8)
        return 2 * cells + (4 * self.samples if self.fragments else 2)

    def count(self, depth: int) -> None:
        """Count one more element, item or fragment."""
        self.elements += 1
        self.depth = max(self.depth, depth)
        if self.elements > MAX_ELEMENTS:
            raise TooExpensive(f"The DICOM file has more than {MAX_ELEMENTS} elements and items.")
        if depth > MAX_DEPTH:
            raise TooExpensive(f"The DICOM file has sequences more than {MAX_DEPTH} deep.")


def walk_meta(data: bytes) -> DataSetClaims:
    """Walk preamble and prefix, where there are any, and the meta information: PS3.10 7.1."""
    position = 132 if data[128:132] == b"DICM" else 4 if data[:4] == b"DICM" else 0
    claims = DataSetClaims()
    while data[position : position + 2] == b"\2\0":
        claims.count(0)
        tag, value, length = _element(data, position, "little", is_implicit=False)
        if tag == _TRANSFER_SYNTAX:
            text = data[value : value + min(length, 64)].decode("latin-1")
            claims.transfer_syntax = text.strip(" \0")
        position = value + length
    claims.end = position
    return claims


def walk_data_set(data: bytes, start: int, claims: DataSetClaims) -> None:
    """Walk a data set, and complete what is known of it. Source: DICOM PS3.5 7.1, 7.5 and A.4."""
    is_big = claims.transfer_syntax == ExplicitVRBigEndian or data[start : start + 1] == b"\0"
    order: Order = "big" if is_big else "little"
    is_implicit = not _is_vr(data[start + 4 : start + 6])
    position, ends = start, list[int]()
    while position + 8 <= len(data):
        while ends and position >= ends[-1]:
            ends.pop()
        claims.count(len(ends))
        tag, value, length = _element(data, position, order, is_implicit=is_implicit)
        is_open = length == UNDEFINED_LENGTH
        if tag in _ENDS:
            del ends[-1:]
            position = value
        elif is_open and tag in _PIXEL_TAGS:
            position = _walk_fragments(data, value, order, claims)
        elif is_open or tag == _ITEM or tag in _READ_SEQUENCES:
            ends.append(len(data) + 1 if is_open else value + length)
            position = value
        else:
            position = value + length
            if not ends:
                _note(tag, data[value : value + min(length, 16)], length, order, claims)
    claims.end = position


def _note(tag: int, value: bytes, length: int, order: Order, claims: DataSetClaims) -> None:
    if tag in _PIXEL_TAGS:
        claims.native_bytes = length
    elif tag == _NUMBER_OF_FRAMES:
        digits = value.strip(b" \0")
        claims.frames = max(1, int(digits)) if digits.isdigit() else 1
    elif tag in _SIZES:
        setattr(claims, _SIZES[tag], int.from_bytes(value[:2], order))


def _walk_fragments(data: bytes, position: int, order: Order, claims: DataSetClaims) -> int:
    """Note the items of encapsulated pixel data; return where they end."""
    while position + 8 <= len(data):
        claims.count(1)
        tag, value, length = _element(data, position, order, is_implicit=True)
        if tag != _ITEM:
            return value
        claims.fragments.append((value, length))
        position = value + length
    return position


def _element(
    data: bytes, position: int, order: Order, *, is_implicit: bool
) -> tuple[int, int, int]:
    """Read the head of an element: its tag, and where its value begins and how long it is."""
    group = int.from_bytes(data[position : position + 2], order)
    tag = group << 16 | int.from_bytes(data[position + 2 : position + 4], order)
    vr = data[position + 4 : position + 6]
    # Items have no value representation, and some writers leave it out in a sequence.
    if is_implicit or group == _ITEM_GROUP or not _is_vr(vr):
        return tag, position + 8, int.from_bytes(data[position + 4 : position + 8], order)
    if vr in _LONG:
        return tag, position + 12, int.from_bytes(data[position + 8 : position + 12], order)
    return tag, position + 8, int.from_bytes(data[position + 6 : position + 8], order)


def _is_vr(code: bytes) -> bool:
    return b"AA" <= code <= b"ZZ"
