"""What a TIFF file says of itself, read before Pillow opens it."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from PIL.TiffImagePlugin import COMPRESSION_INFO

from contract.errors import CorruptImage, TooExpensive, UnsupportedFormat
from contract.frame import check_budget, check_frame_number

# Pillow's own count takes time with the square of the pages, so a small file could hold a core.
MAX_PAGES = 4096
_MAX_ENTRIES = 65_536
_BIG_TIFF = 43
_TYPE_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
_TYPE_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_WIDTH, _LENGTH, _BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES_PER_PIXEL, _ROWS_PER_STRIP, _PLANAR = 274, 277, 278, 284
_TILE_WIDTH, _TILE_LENGTH, _SAMPLE_FORMAT = 322, 323, 339
_UNCOMPRESSED, _WHITE_IS_ZERO, _SEPARATE_PLANES, _LAB = 1, 0, 2, 8
# Unsigned, or left undefined.
_PLAIN_SAMPLES = frozenset({1, 4})
# None, CCITT, LZW, JPEG, deflate and PackBits.
_DECODED = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946})
Tags = Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class TiffPage:
    """How one page of a TIFF lies in its file, and how many pages there are.

    ``block`` is the height and width of a tile, or of a strip.
    """

    pages: int
    rows: int
    columns: int
    bits: int
    samples: int
    sample_format: int
    compression: int
    block: tuple[int, int]
    photometric: int
    is_turned: bool
    is_planar: bool

    @property
    def is_white_zero(self) -> bool:
        """Whether the smallest sample is white."""
        return self.photometric == _WHITE_IS_ZERO

    @property
    def is_decoded(self) -> bool:
        """Whether the samples are gray of up to 16 bits, or colour of 8, and unsigned."""
        deepest = 16 if self.samples == 1 else 8
        is_plain = self.sample_format in _PLAIN_SAMPLES and self.photometric != _LAB
        return is_plain and self.bits <= deepest

    @property
    def bytes_per_pixel(self) -> float:
        """How many bytes Pillow holds at once for each pixel."""
        gray = 2 if self.bits > 8 else 1
        decoded = 4 if self.samples > 1 else gray
        # libtiff unpacks a strip or tile at once, which may be all of the image.
        unpacked = self.block[0] * self.block[1] * self.samples * self.bits / 8
        share = unpacked / max(1, self.rows * self.columns)
        while_loading = max(
            decoded if self.is_turned else 0, 0 if self.compression == _UNCOMPRESSED else share
        )
        return decoded + max(while_loading, gray)


def read_page(data: bytes, frame: int, max_pixels: int) -> TiffPage:
    """Read the directory of one page, and check what it claims.

    ``frame``: the page, from 1. Source: TIFF 6.0, section 2; BigTIFF counts and links with 8 bytes
    instead.
    """
    pages = list(_pages(data))
    check_frame_number(frame, len(pages))
    tags: Tags = {}
    taken = 0
    for position, entries in pages[:frame]:
        tags, size = _read_tags(data, position, entries)
        taken += size
        if taken > 4 * len(data):
            raise TooExpensive("The TIFF's directories refer to the same bytes again and again.")
    page = _page(tags, len(pages))
    check_budget(page.rows, page.columns, max_pixels, bytes_per_pixel=page.bytes_per_pixel)
    if _TILE_WIDTH in tags:
        check_budget(*page.block, max_pixels)
    if page.compression not in _DECODED:
        name = COMPRESSION_INFO.get(page.compression, f"method {page.compression}")
        raise UnsupportedFormat(
            f"A TIFF compressed with {name} is not decoded here. Send it uncompressed, or with LZW."
        )
    if not page.is_decoded:
        raise UnsupportedFormat(
            f"A TIFF of {page.samples} samples of {page.bits} bits of this kind is not decoded "
            "here. Send it in gray of 8 or 16 unsigned bits, or in colour of 8."
        )
    return page


def _pages(data: bytes) -> Iterator[tuple[int, int]]:
    """Follow the chain of directories; give the place and the number of their entries."""
    order, count, link, entry, first = _layout(data)
    seen: set[int] = set()
    total = 0
    try:
        position: int = struct.unpack_from(order + link, data, first)[0]
        # A chain that returns to a page it has passed ends there, as Pillow reads it.
        while position and position not in seen:
            seen.add(position)
            entries: int = struct.unpack_from(order + count, data, position)[0]
            start = position + struct.calcsize(order + count)
            total += entries
            if len(seen) > MAX_PAGES:
                raise CorruptImage(f"The TIFF has more than {MAX_PAGES} pages.")
            position = struct.unpack_from(order + link, data, start + entry * entries)[0]
            if total > _MAX_ENTRIES:
                raise TooExpensive(f"The TIFF has more than {_MAX_ENTRIES} directory entries.")
            yield start, entries
    except (struct.error, OverflowError) as error:
        raise CorruptImage("The TIFF is truncated: a page lies beyond its end.") from error


def _layout(data: bytes) -> tuple[str, str, str, int, int]:
    """Give the byte order, the codes of counts and links, the size of an entry, the first link."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = struct.unpack_from(f"{order}H", data, 2)[0] == _BIG_TIFF
    return (order, "Q", "Q", 20, 8) if is_big else (order, "H", "I", 12, 4)


def _read_tags(data: bytes, start: int, entries: int) -> tuple[dict[int, tuple[int, ...]], int]:
    """Read the whole numbers of a directory, the first few of each tag, and the size of all."""
    order, _, link, entry, _ = _layout(data)
    inline = struct.calcsize(link)
    tags: dict[int, tuple[int, ...]] = {}
    taken = 0
    for position in range(start, start + entry * entries, entry):
        tag, kind, count = struct.unpack_from(f"{order}HH{link}", data, position)
        size = count * (_TYPE_BYTES[kind] if kind < len(_TYPE_BYTES) else 0)
        place = position + 4 + inline
        if size > inline:
            place = struct.unpack_from(order + link, data, place)[0]
            taken += size
        if kind in _TYPE_CODES and place + size <= len(data):
            values = f"{order}{min(count, 8)}{_TYPE_CODES[kind]}"
            tags[tag] = struct.unpack_from(values, data, place)
    return tags, taken


def _page(tags: Tags, pages: int) -> TiffPage:
    def first(tag: int, otherwise: int) -> int:
        return (tags.get(tag) or (otherwise,))[0]

    rows, columns = first(_LENGTH, 0), first(_WIDTH, 0)
    strip = columns, min(first(_ROWS_PER_STRIP, rows), rows)
    return TiffPage(
        pages=pages,
        rows=rows,
        columns=columns,
        bits=max(tags.get(_BITS_PER_SAMPLE) or (1,)),
        samples=first(_SAMPLES_PER_PIXEL, 1),
        sample_format=first(_SAMPLE_FORMAT, 1),
        compression=first(_COMPRESSION, _UNCOMPRESSED),
        block=(first(_TILE_LENGTH, strip[1]), first(_TILE_WIDTH, strip[0])),
        photometric=first(_PHOTOMETRIC, 1),
        is_turned=first(_ORIENTATION, 1) != 1,
        is_planar=first(_PLANAR, 1) == _SEPARATE_PLANES,
    )
