import struct

import numpy as np
import pytest

from contract.errors import CorruptImage, FrameOutOfRange, UnsupportedFormat
from contract.radiograph import decode
from tests.odd_files import ByteOrder, as_raw_tiff

PAGE = np.zeros((1, 2), dtype=np.uint8)


def as_big_tiff(samples: bytes, columns: int) -> bytes:
    """A BigTIFF of one row of 8-bit gray, whose counts and links have 8 bytes."""
    values = {256: columns, 257: 1, 258: 8, 259: 1, 262: 1, 273: 16, 277: 1, 278: 1, 279: columns}
    entries = b"".join(struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in values.items())
    directory = struct.pack("<Q", len(values)) + entries + bytes(8)
    return b"II+\0" + struct.pack("<HHQ", 8, 0, 16 + len(samples)) + samples + directory


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("pages", [1, 2, 5])
def test_the_pages_are_counted(order: ByteOrder, pages: int) -> None:
    data = as_raw_tiff(*[PAGE] * pages, order=order)

    assert decode(data, frame=pages).frames == pages
    with pytest.raises(FrameOutOfRange, match=f"1 to {pages}"):
        decode(data, frame=pages + 1)


def test_a_big_tiff_is_read() -> None:
    assert decode(as_big_tiff(b"\1\2\3\4", 4)).pixels.tolist() == [[1, 2, 3, 4]]


def test_a_chain_that_returns_to_itself_ends() -> None:
    page = as_raw_tiff(PAGE)
    (first,) = struct.unpack_from("<I", page, 4)
    (entries,) = struct.unpack_from("<H", page, first)
    link = first + 2 + 12 * entries

    assert decode(page[:link] + struct.pack("<I", first) + page[link + 4 :]).frames == 1


@pytest.mark.parametrize(
    "data",
    [b"II*\0", b"II*\0\xff\0\0\0", b"II+\0\x08\0\0\0" + b"\xff" * 8, as_raw_tiff(PAGE)[:-100]],
    ids=["no directory", "beyond the end", "beyond all ends", "cut directory"],
)
def test_a_chain_that_leaves_the_file_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptImage, match="truncated"):
        decode(data)


@pytest.mark.parametrize(("method", "name"), [(50001, "webp"), (7, "jpeg"), (3, "group3")])
def test_a_compression_that_is_not_decoded_is_named(method: int, name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=name):
        decode(as_raw_tiff(PAGE, tags={259: [method]}))


def test_an_unknown_compression_is_unsupported() -> None:
    with pytest.raises(UnsupportedFormat):
        decode(as_raw_tiff(PAGE, tags={259: [777]}))
