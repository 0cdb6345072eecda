"""The headers of JPEG, JPEG-LS and JPEG 2000 codestreams, read without decoding a pixel.

A decoder allocates what the codestream claims, so the claim is checked before it runs.
"""

import re
from dataclasses import dataclass
from typing import Literal

from contract.errors import CorruptImage, TooExpensive

Family = Literal["JPEG", "JPEG-LS", "JPEG 2000"]

MAX_SEGMENTS = 4096
MAX_TILE_SEGMENTS = 100_000
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
END_OF_IMAGE, START_OF_SCAN = b"\xff\xd9", b"\xff\xda"
_JPEG_LS = 0xF7
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
# The processes that 8-bit decoders read: baseline, extended sequential and progressive Huffman.
_COMMON_PROCESSES = frozenset({0xC0, 0xC1, 0xC2})
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_CODING_STYLE, _COMPONENT_STYLE = b"\xff\x52", b"\xff\x53"
_START_OF_TILE, _START_OF_DATA = b"\xff\x90", b"\xff\x93"
_REVERSIBLE = 1
# In the pixel data of a JPEG; restart markers and stuffed bytes are none that ends it.
_MARKER = re.compile(rb"\xff([^\0\xd0-\xd7\xff])")

# What the shipped decoders were measured to take, rounded up. JPEG 2000: bytes for each precinct
# and code block of a tile, each tile, and its components; seconds for each packet and block.
_BLOCK_BYTES, _TILE_BYTES, _TILE_COMPONENT_BYTES = 640, 6_000, 1_200
_PACKET_S, _BLOCK_S = 3e-7, 3e-6
# Seconds for each sample, for each sample in each further scan, and for each byte. A JPEG that is
# not common is decoded twice, and so is a common one without its end marker.
_SAMPLE_S: dict[Family, float] = {"JPEG": 1e-7, "JPEG-LS": 6e-8, "JPEG 2000": 1.5e-7}
_COMMON_SAMPLE_S, _SCAN_SAMPLE_S, _BYTE_S = 5e-9, 4e-10, 5e-8


@dataclass(frozen=True, slots=True)
class CodestreamHeader:
    """What a codestream says of itself, and upper estimates of what decoding it takes.

    ``process`` is the marker of a JPEG frame header, ``is_in_one_scan`` tells that one scan holds
    all of a JPEG, ``has_every_bit`` that a common one lacks no scan.
    """

    rows: int
    columns: int
    components: int
    precision: int
    process: int | None = None
    family: Family = "JPEG"
    is_signed: bool = False
    is_lossy: bool = True
    is_in_one_scan: bool = False
    has_every_bit: bool = True
    memory_bytes: int = 0
    seconds: float = 0

    @property
    def is_common_jpeg(self) -> bool:
        """Whether every JPEG reader decodes this: 8-bit samples, Huffman coded, lossy."""
        return self.precision == 8 and self.process in _COMMON_PROCESSES


def read_codestream_header(codestream: bytes) -> CodestreamHeader | None:
    """Read the header of whichever codestream this is; None where it is none that is known here."""
    if codestream.startswith(b"\xff\xd8"):
        return read_jpeg_header(codestream)
    return read_jpeg2000_header(codestream)


def read_jpeg_header(codestream: bytes) -> CodestreamHeader | None:
    """Read the frame header of a JPEG or JPEG-LS, if any: T.81 B.1.1 and B.2.2, T.87 C.2.2."""
    position, frame = 2, None
    for _ in range(MAX_SEGMENTS):
        marker = codestream[position : position + 2]
        if len(codestream) < position + 4 or marker[0] != 0xFF or marker == START_OF_SCAN:
            return frame and _jpeg_header(frame, codestream, position)
        if marker == END_OF_IMAGE:
            return None
        if marker[1] in _START_OF_FRAME and position + 10 <= len(codestream):
            frame = marker[1], codestream[position + 4 : position + 10]
        if marker[1] == 0xFF:
            position += 1  # a fill byte before the marker
        elif marker[1] in _WITHOUT_LENGTH:
            position += 2
        else:
            position += 2 + int.from_bytes(codestream[position + 2 : position + 4], "big")
    raise TooExpensive(f"The JPEG has more than {MAX_SEGMENTS} marker segments before its pixels.")


def read_jpeg2000_header(codestream: bytes) -> CodestreamHeader | None:
    """Read SIZ, COD and COC of a JPEG 2000 codestream, if any: T.800 A.4.2, A.5.1, A.6.1, A.6.2."""
    start = _find_size_segment(codestream)
    segment = codestream[start : start + 43]
    if start < 0 or len(segment) < 43:
        return None
    right, bottom, left, top, *tiling = (
        int.from_bytes(segment[offset : offset + 4], "big") for offset in range(8, 40, 4)
    )
    components = int.from_bytes(segment[40:42], "big")
    width, height = max(1, min(tiling[0], right)), max(1, min(tiling[1], bottom))
    tiles = -(-right // width) * -(-bottom // height)
    styles, _ = _walk_jpeg2000(codestream, start, components)
    counts = [style.count(width, height) for style in styles]
    blocks = max((blocks for blocks, _ in counts), default=1)
    packets = max((packets for _, packets in counts), default=1)
    return CodestreamHeader(
        rows=bottom - top,
        columns=right - left,
        components=components,
        precision=(segment[42] & 0x7F) + 1,
        family="JPEG 2000",
        is_signed=segment[42] >= 0x80,
        is_lossy=any(not style.is_reversible for style in styles),
        # Each sample is held as 32 bits, in its tile and in the image.
        memory_bytes=components * 4 * (right * bottom + width * height)
        + components * blocks * _BLOCK_BYTES
        + tiles * (_TILE_BYTES + components * _TILE_COMPONENT_BYTES),
        seconds=components * right * bottom * _SAMPLE_S["JPEG 2000"]
        + components * tiles * (packets * _PACKET_S + blocks * _BLOCK_S),
    )


def completed(codestream: bytes, claim: CodestreamHeader) -> tuple[bytes, ...]:
    """Complete a codestream that may lack its end marker, where its pixel data may be whole.

    Decoders fill up what a JPEG that is not common lacks, and say nothing of it. So it comes with
    two tails behind its pixel data: where that is whole, both decode alike.
    """
    # No coded byte can be mistaken for the marker.
    body, marker, _ = codestream.rpartition(END_OF_IMAGE)
    if claim.is_common_jpeg or claim.family == "JPEG-LS":
        return (codestream if marker else codestream + END_OF_IMAGE,)
    if claim.family == "JPEG 2000":
        if marker:
            return (codestream,)
        # The tile-parts may be whole by their own lengths.
        _, end = _walk_jpeg2000(codestream, _find_size_segment(codestream), 1)
        if not 0 < end <= len(codestream):
            raise CorruptImage("The JPEG 2000 pixel data is truncated: its end marker is missing.")
        return (codestream[:end] + END_OF_IMAGE,)
    if not claim.is_in_one_scan:
        raise CorruptImage("The pixel data of the JPEG is damaged, or in several scans.")
    body = (body if marker else codestream).rstrip(b"\xff")
    return tuple(body + tail + END_OF_IMAGE for tail in (bytes(64), b"\xfe" * 64))


def _find_size_segment(codestream: bytes) -> int:
    """Find where JPEG 2000 begins, at once or in the boxes of a JP2 file; -1 where it does not."""
    if codestream.startswith(_JP2_SIGNATURE):
        return codestream.find(_JPEG_2000_START)
    return 0 if codestream.startswith(_JPEG_2000_START) else -1


@dataclass(frozen=True, slots=True)
class _CodingStyle:
    """How a component of JPEG 2000 is cut up; blocks and precincts are powers of two wide."""

    layers: int
    is_reversible: bool
    block: tuple[int, int]
    precincts: list[tuple[int, int]]

    def count(self, width: int, height: int) -> tuple[int, int]:
        """Count the precincts and code blocks, and the packets, in one component of a tile."""
        blocks = packets = 0
        for level, precinct in enumerate(reversed(self.precincts)):
            size = max(1, width >> level), max(1, height >> level)
            cells = _cells(size, precinct)
            blocks += cells + max(3 * cells, _cells(size, self.block))
            packets += self.layers * cells
        return blocks, packets


def _cells(size: tuple[int, int], bits: tuple[int, int]) -> int:
    return (((size[0] - 1) >> bits[0]) + 1) * (((size[1] - 1) >> bits[1]) + 1)


def _walk_jpeg2000(
    codestream: bytes, start: int, components: int
) -> tuple[list[_CodingStyle], int]:
    """Read all coding styles, and find where the last tile-part ends; 0 where it is not said."""
    styles: list[_CodingStyle] = []
    position, tile_end, layers, end = start + 2, 0, 1, 0
    for _ in range(MAX_TILE_SEGMENTS):
        marker = codestream[position : position + 2]
        if marker[:1] != b"\xff" or marker == END_OF_IMAGE:
            return styles, end
        if marker == _START_OF_DATA:
            if tile_end <= position:
                return styles, 0
            position = end = tile_end
            continue
        length = int.from_bytes(codestream[position + 2 : position + 4], "big")
        body = codestream[position + 4 : position + 2 + length]
        if marker == _START_OF_TILE:
            tile_end = position + int.from_bytes(body[2:6], "big")
        elif marker == _CODING_STYLE:
            layers = int.from_bytes(body[2:4], "big")
            styles += _coding_style(body[:1], layers, body[5:])
        elif marker == _COMPONENT_STYLE:
            own = body[1:] if components < 257 else body[2:]
            styles += _coding_style(own[:1], layers, own[1:])
        position += 2 + length
    raise TooExpensive(f"The JPEG 2000 image has more than {MAX_TILE_SEGMENTS} marker segments.")


def _coding_style(style: bytes, layers: int, fields: bytes) -> list[_CodingStyle]:
    """Read the parameters that COD and COC have in common; none where they are cut short."""
    if len(fields) < 5:
        return []
    levels, block_width, block_height, _, transform, *precincts = fields
    sizes = [(each & 15, each >> 4) for each in precincts] if style[0] & 1 else []
    return [
        _CodingStyle(
            layers=layers,
            is_reversible=transform == _REVERSIBLE,
            block=((block_width & 15) + 2, (block_height & 15) + 2),
            precincts=(sizes + [(15, 15)] * 33)[: min(levels, 32) + 1],
        )
    ]


def _has_every_bit(frame: tuple[int, bytes], codestream: bytes, position: int) -> bool:
    """Whether scans hold each coefficient of a JPEG to its last bit: T.81 B.2.3 and G.1.1.1."""
    lacking: dict[int, list[int]] = {}
    for _ in range(MAX_SEGMENTS):
        length = int.from_bytes(codestream[position + 2 : position + 4], "big")
        body = codestream[position + 4 : position + 2 + length]
        is_scan = body and codestream.startswith(START_OF_SCAN, position)
        if is_scan and len(body) >= 4 + 2 * body[0]:
            first, last, approximation = body[1 + 2 * body[0] :][:3]
            if frame[0] not in _PROGRESSIVE:
                first, last, approximation = 0, 63, 0
            for component in body[1 : 1 + 2 * body[0] : 2]:
                bits = lacking.setdefault(component, [16] * 64)
                for coefficient in range(first, min(last, 63) + 1):
                    bits[coefficient] = approximation & 15
        marker = _MARKER.search(codestream, position + 2 + length)
        if marker is None or marker[0] == END_OF_IMAGE:
            break
        position = marker.start()
    return sum(not any(bits) for bits in lacking.values()) == frame[1][5]


def _jpeg_header(frame: tuple[int, bytes], codestream: bytes, scan: int) -> CodestreamHeader:
    """Describe a JPEG whose first scan begins at a position."""
    process, fields = frame
    rows, columns = int.from_bytes(fields[1:3], "big"), int.from_bytes(fields[3:5], "big")
    components = fields[5]
    family: Family = "JPEG-LS" if process == _JPEG_LS else "JPEG"
    is_in_one_scan = process not in _PROGRESSIVE and codestream[scan + 4 : scan + 5] == fields[5:6]
    # A decoder is done when it has all of the image, whatever follows.
    scans = 1 if is_in_one_scan else codestream.count(START_OF_SCAN, scan)
    decodes = 2 if codestream.rfind(END_OF_IMAGE, scan) < 0 else 1
    samples = rows * columns * components
    is_common = fields[0] == 8 and process in _COMMON_PROCESSES
    if not is_common and family == "JPEG":
        behind = _MARKER.search(codestream, scan + 6 + 2 * components)
        is_in_one_scan &= behind is None or behind[0] == END_OF_IMAGE
    # NEAR follows the components of the scan.
    place = scan + 5 + 2 * fields[5]
    near = codestream[place : place + 1]
    return CodestreamHeader(
        rows=rows,
        columns=columns,
        components=components,
        precision=fields[0],
        process=process,
        family=family,
        is_lossy=near not in {b"", b"\0"} if process == _JPEG_LS else process not in _LOSSLESS,
        is_in_one_scan=is_in_one_scan,
        has_every_bit=is_in_one_scan or not is_common or _has_every_bit(frame, codestream, scan),
        # A common JPEG becomes its gray, and a copy of that. One in several scans also keeps its
        # coefficients, of two bytes, until the last scan. Of the other kinds, two results are
        # compared.
        memory_bytes=2 * rows * columns + (0 if is_in_one_scan else 2 * samples)
        if is_common
        else 24 * samples,
        seconds=decodes
        * (
            samples * (_COMMON_SAMPLE_S + scans * _SCAN_SAMPLE_S)
            + (len(codestream) - scan) * _BYTE_S
        )
        if is_common
        else samples * _SAMPLE_S[family],
    )
