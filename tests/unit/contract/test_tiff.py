import struct

import numpy as np
import pytest

from contract.errors import CorruptImage
from contract.tiff import MAX_PAGES, count_pages
from tests.odd_files import ByteOrder, as_raw_tiff

PAGE = np.zeros((1, 2), dtype=np.uint8)


def chain(pages: int) -> bytes:
    """A TIFF of empty directories, each linked to the next."""
    places = [8 + 6 * page for page in range(pages)] + [0]
    links = b"".join(struct.pack("<HI", 0, after) for after in places[1:])
    return b"II*\0" + struct.pack("<I", places[0]) + links


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("pages", [1, 2, 5])
def test_the_chain_of_directories_is_counted(order: ByteOrder, pages: int) -> None:
    assert count_pages(as_raw_tiff(*[PAGE] * pages, order=order)) == pages


def test_a_big_tiff_is_counted() -> None:
    first = struct.pack("<HHQ", 8, 0, 16) + struct.pack("<QQ", 0, 32)
    second = struct.pack("<QQ", 0, 0)

    assert count_pages(b"II+\0" + first + second) == 2


def test_a_chain_that_returns_to_itself_ends() -> None:
    assert count_pages(b"II*\0\x08\0\0\0\0\0\x08\0\0\0") == 1


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
