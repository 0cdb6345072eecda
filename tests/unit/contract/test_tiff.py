import struct

import numpy as np
import pytest

from contract.errors import CorruptImage, TooExpensive, UnsupportedFormat
from contract.tiff import MAX_PAGES, read_page
from tests.odd_files import ByteOrder, as_raw_tiff

PAGE = np.zeros((1, 2), dtype=np.uint8)


ENTRIES = struct.pack("<HHII", 256, 4, 1, 2) + struct.pack("<HHII", 257, 4, 1, 1)


def chain(pages: int) -> bytes:
    """A TIFF of directories of one row of two pixels, each linked to the next."""
    places = [8 + 30 * page for page in range(pages)] + [0]
    links = b"".join(struct.pack("<H", 2) + ENTRIES + struct.pack("<I", at) for at in places[1:])
    return b"II*\0" + struct.pack("<I", places[0]) + links


def count_pages(data: bytes) -> int:
    return read_page(data, 1, 100).pages


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("pages", [1, 2, 5])
def test_the_chain_of_directories_is_counted(order: ByteOrder, pages: int) -> None:
    assert count_pages(as_raw_tiff(*[PAGE] * pages, order=order)) == pages


def test_a_big_tiff_is_counted() -> None:
    entries = b"".join(struct.pack("<HHQQ", tag, 4, 1, 3) for tag in (256, 257))
    first = struct.pack("<HHQ", 8, 0, 16) + struct.pack("<Q", 2) + entries + struct.pack("<Q", 72)
    second = struct.pack("<QQ", 0, 0)

    assert count_pages(b"II+\0" + first + second) == 2


def test_a_chain_that_returns_to_itself_ends() -> None:
    assert count_pages(chain(1)[:-4] + struct.pack("<I", 8)) == 1


@pytest.mark.parametrize(
    "data",
    [b"II*\0", b"II*\0\xff\0\0\0", b"II+\0\x08\0\0\0" + b"\xff" * 8, chain(3)[:-6]],
    ids=["no directory", "beyond the end", "beyond all ends", "cut chain"],
)
def test_a_chain_that_leaves_the_file_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptImage, match="truncated"):
        count_pages(data)


def test_the_number_of_pages_is_limited() -> None:
    assert count_pages(chain(MAX_PAGES)) == MAX_PAGES
    with pytest.raises(CorruptImage, match="more than 4096 pages"):
        count_pages(chain(MAX_PAGES + 1))


def test_the_number_of_entries_is_limited() -> None:
    crowded = b"II*\0" + struct.pack("<IH", 8, 65_535) + bytes(12 * 65_535)
    crowded += struct.pack("<I", len(crowded) + 4) + struct.pack("<H", 2) + bytes(28)

    with pytest.raises(TooExpensive, match="directory entries"):
        count_pages(crowded)


def test_values_that_share_the_same_bytes_are_counted_for_each() -> None:
    entries = b"".join(struct.pack("<HHII", 50_000 + n, 1, 900, 8) for n in range(20))
    data = b"II*\0" + struct.pack("<IH", 8, 20) + entries + struct.pack("<I", 0) + bytes(700)

    with pytest.raises(TooExpensive, match="same bytes"):
        count_pages(data)


@pytest.mark.parametrize(("method", "name"), [(50001, "webp"), (777, "777")])
def test_a_compression_that_is_not_decoded_is_named(method: int, name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=name):
        count_pages(as_raw_tiff(PAGE, tags={259: [method]}))
