"""The headers of JPEG, JPEG-LS and JPEG 2000 codestreams, read without decoding a pixel.

A decoder allocates what the codestream claims, so the claim is checked before it runs.
"""

from dataclasses import dataclass

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_END_OF_HEADER = frozenset({0xD9, 0xDA})
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_END_OF_IMAGE = b"\xff\xd9"
# The processes that 8-bit decoders read: baseline, extended sequential and progressive Huffman.
_COMMON_PROCESSES = frozenset({0xC0, 0xC1, 0xC2})


@dataclass(frozen=True, slots=True)
class CodestreamHeader:
    """What a codestream says of itself; ``process`` is the marker of a JPEG frame header."""

    rows: int
    columns: int
    components: int
    precision: int
    process: int | None = None

    @property
    def is_common_jpeg(self) -> bool:
        """Whether every JPEG reader decodes this: 8-bit samples, Huffman coded, lossy."""
        return self.precision == 8 and self.process in _COMMON_PROCESSES


def read_jpeg_header(codestream: bytes) -> CodestreamHeader | None:
    """Read the frame header of a JPEG or JPEG-LS codestream; None where there is none.

    Source: ITU-T T.81 B.1.1 and B.2.2, ITU-T T.87 C.2.2.
    """
    position = 2
    while position + 10 <= len(codestream) and codestream[position] == 0xFF:
        marker = codestream[position + 1]
        if marker in _START_OF_FRAME:
            return _frame_header(marker, codestream[position + 4 : position + 10])
        if marker in _END_OF_HEADER:
            return None
        position += _segment_length(marker, codestream[position + 2 : position + 4])
    return None


def read_jpeg2000_header(codestream: bytes) -> CodestreamHeader | None:
    """Read the SIZ segment of a JPEG 2000 codestream; None where there is none.

    Source: ITU-T T.800 A.5.1.
    """
    start = codestream.find(_JPEG_2000_START)
    segment = codestream[start : start + 43]
    if start < 0 or len(segment) < 43:
        return None
    right, bottom, left, top = (
        int.from_bytes(segment[offset : offset + 4], "big") for offset in (8, 12, 16, 20)
    )
    return CodestreamHeader(
        rows=bottom - top,
        columns=right - left,
        components=int.from_bytes(segment[40:42], "big"),
        precision=(segment[42] & 0x7F) + 1,
    )


def is_complete(codestream: bytes) -> bool:
    """Tell whether the end-of-image marker is there; no coded byte can be mistaken for it."""
    return _END_OF_IMAGE in codestream


def _frame_header(marker: int, fields: bytes) -> CodestreamHeader:
    return CodestreamHeader(
        precision=fields[0],
        rows=int.from_bytes(fields[1:3], "big"),
        columns=int.from_bytes(fields[3:5], "big"),
        components=fields[5],
        process=marker,
    )


def _segment_length(marker: int, length: bytes) -> int:
    if marker == 0xFF:
        return 1  # a fill byte before the marker
    if marker in _WITHOUT_LENGTH:
        return 2
    return 2 + int.from_bytes(length, "big")
