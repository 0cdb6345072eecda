import re
import struct

import numpy as np
import pytest

from contract.errors import (
    CorruptImage,
    FrameOutOfRange,
    NotAnImage,
    TooManyPixels,
    UnsupportedFormat,
)
from contract.radiograph import decode
from tests.odd_files import ByteOrder, as_deep_png, as_raw_tiff, png_chunk
from tests.synthetic import as_dicom, as_jpeg, as_png, as_tiff, saved, synthetic_radiograph

CHEST = synthetic_radiograph(60, 80)
JPEG, PNG = as_jpeg(CHEST), as_png(CHEST)
DEEP_COLOUR = as_deep_png(np.full((4, 4, 3), 60_000, np.uint16))
DEEP = CHEST.astype(np.uint16) * 16 + 15


def drawn(colours: int, *, progressive: bool = True) -> bytes:
    pixels = CHEST if colours == 1 else np.stack([CHEST] * 3, axis=-1)
    return saved(pixels, "JPEG", quality=95, progressive=progressive)


SINGLE = JPEG, PNG, as_tiff(CHEST), as_dicom(CHEST)
TWO_FRAMES = as_dicom(np.stack([CHEST, CHEST]), NumberOfFrames=2)


@pytest.mark.parametrize(
    ("data", "frame", "frames"),
    [
        *((data, frame, 1) for data in SINGLE for frame in (-1, 0, 2)),
        *((TWO_FRAMES, frame, 2) for frame in (-1, 0, 3)),
    ],
)
def test_a_frame_that_does_not_exist_is_out_of_range(data: bytes, frame: int, frames: int) -> None:
    with pytest.raises(FrameOutOfRange, match=f"frames 1 to {frames}"):
        decode(data, frame=frame)


@pytest.mark.parametrize("data", SINGLE)
def test_the_budget_is_the_largest_number_of_pixels(data: bytes) -> None:
    assert decode(data, max_pixels=4800).pixels.size == 4800
    with pytest.raises(TooManyPixels, match="60 x 80"):
        decode(data, max_pixels=4799)


ENORMOUS = b"\x7f\xff\xff\xff\x7f\xff\xff\xff"


@pytest.mark.parametrize(
    "data",
    [
        JPEG.replace(b"\0\x3c\0\x50", b"\xff\xff\xff\xff"),
        PNG[:8] + png_chunk(b"IHDR", ENORMOUS + b"\x08\0\0\0\0") + PNG[33:],
        as_raw_tiff(CHEST, tags={256: [0x7FFFFFFF], 257: [0x7FFFFFFF]}),
    ],
    ids=["JPEG", "PNG", "TIFF"],
)
def test_an_enormous_header_is_refused_before_it_is_decoded(data: bytes) -> None:
    with pytest.raises(TooManyPixels):
        decode(data)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    "data",
    [JPEG, as_jpeg(np.stack([CHEST] * 3, axis=-1)), PNG, as_tiff(CHEST), as_raw_tiff(DEEP)],
)
def test_a_truncated_image_is_corrupt(data: bytes, cut: float) -> None:
    with pytest.raises(CorruptImage):
        decode(data[: int(len(data) * cut)])


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("cut", [3, 20, 500])
@pytest.mark.parametrize("at_least", [None, (8, 8)])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_corrupt_although_an_end_marker_closes_it(
    end: bytes, cut: int, at_least: tuple[int, int] | None, colours: int, *, progressive: bool
) -> None:
    jpeg = drawn(colours, progressive=progressive)

    with pytest.raises(CorruptImage, match="JPEG is truncated or damaged"):
        decode(jpeg[:-cut] + end, at_least=at_least)


@pytest.mark.parametrize("padding", [b"\0" * 9, b"\xff" * 5, b"\0", b""])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("jpeg", [JPEG, drawn(1), drawn(3)])
def test_padding_changes_nothing_nor_does_an_end_marker_that_is_missing(
    jpeg: bytes, end: bytes, padding: bytes
) -> None:
    padded = jpeg[:-2] + padding + end

    assert np.array_equal(decode(padded).pixels, decode(jpeg).pixels)


@pytest.mark.parametrize("colours", [1, 3])
def test_a_jpeg_that_lacks_any_of_its_scans_is_corrupt(colours: int) -> None:
    jpeg = drawn(colours)
    starts = [found.start() for found in re.finditer(rb"\xff\xda", jpeg)]

    assert len(starts) > 5
    for start in starts[1:]:
        # The tables of a scan stand before it.
        with pytest.raises(CorruptImage, match="JPEG is truncated or damaged"):
            decode(jpeg[: jpeg.rindex(b"\xff\xc4", 0, start)] + b"\xff\xd9")


def test_an_odd_field_that_changes_no_pixel_is_passed_over() -> None:
    odd = JPEG.replace(b"\xff\xda\0\x08\1\1\0\0\x3f\0", b"\xff\xda\0\x08\1\1\0\0\x20\0")

    assert odd != JPEG
    assert np.array_equal(decode(odd).pixels, decode(JPEG).pixels)


PAGE = as_raw_tiff(np.zeros((1, 2), dtype=np.uint8))
DAMAGED = {
    "a JPEG without a frame header": (b"\xff\xd8\xff\xd9" + bytes(20), "JPEG is truncated"),
    "a JPEG without pixels": (JPEG.replace(b"\0\x3c\0\x50", b"\0\0\0\x50"), "has no pixels"),
    "pixel data that is left over": (
        *(JPEG[:-2] + JPEG[700:900].replace(b"\xff", b"") + JPEG[-2:], "JPEG is truncated"),
    ),
    # Nothing of what Pillow says may stand behind it.
    "a flipped bit": (
        PNG[: len(PNG) // 2] + bytes([PNG[len(PNG) // 2] ^ 1]) + PNG[len(PNG) // 2 + 1 :],
        r"^The PNG is truncated or damaged\.$",
    ),
    "strips that leave a part out": (
        *(as_raw_tiff(CHEST, tags={278: [30], 279: [2400]}), "do not cover"),
    ),
    "no directory": (b"II*\0", "TIFF is truncated"),
    "a directory beyond the end": (b"II*\0\xff\0\0\0", "TIFF is truncated"),
    "a directory beyond all ends": (b"II+\0\x08\0\0\0" + b"\xff" * 8, "TIFF is truncated"),
    "a directory that is cut": (PAGE[:-100], "TIFF is truncated"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_image_is_corrupt(damage: str) -> None:
    data, words = DAMAGED[damage]

    with pytest.raises(CorruptImage, match=words):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        *(as_raw_tiff(np.zeros((4, 4), dtype)) for dtype in ("f4", "f8", "i1", "i2", "u4")),
        as_raw_tiff(np.zeros((4, 4, 3), dtype=np.uint16)),
        as_raw_tiff(np.zeros((4, 4, 3), dtype=np.uint16), tags={284: [2]}),
        as_raw_tiff(np.zeros((4, 4, 3), dtype=np.uint8), tags={262: [8]}),
        as_raw_tiff(CHEST, tags={259: [34712]}),
        *(as_raw_tiff(CHEST, tags=tags) for tags in ({262: [999]}, {259: [777]})),
        DEEP_COLOUR[:33] + png_chunk(b"tRNS", b"\xea\x60" * 3) + DEEP_COLOUR[33:],
        as_deep_png(np.stack([DEEP] * 3, axis=-1)),
        *(
            JPEG.replace(b"\xff\xc0\x00\x0b\x08", b"\xff" + process)
            for process in (b"\xc1\x00\x0b\x0c", b"\xc3\x00\x0b\x08", b"\xc9\x00\x0b\x08")
        ),
    ],
    ids=[
        *("float32", "float64", "int8", "int16", "uint32", "deep colour", "deep planes", "lab"),
        *("jpeg 2000 in tiff", "unknown colours", "unknown compression", "deep colour key"),
        *("12-bit colour", "12", "sof3", "arithmetic"),
    ],
)
def test_an_unusual_kind_of_a_known_format_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedFormat):
        decode(data)


def test_an_odd_subsampling_of_colours_is_unsupported() -> None:
    jpeg = bytearray(as_jpeg(np.stack([CHEST] * 3, axis=-1)))
    jpeg[jpeg.index(b"\xff\xc0") + 11] = 0x31

    with pytest.raises(UnsupportedFormat, match="subsampling"):
        decode(bytes(jpeg))


def test_empty_bytes_are_no_image() -> None:
    with pytest.raises(NotAnImage):
        decode(b"")


@pytest.mark.parametrize("data", [JPEG, PNG, as_tiff(CHEST)])
def test_a_lack_of_memory_says_nothing_of_the_image(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    def exhausted(*_given: object) -> None:
        raise MemoryError

    monkeypatch.setattr("contract.raster._gray", exhausted)
    monkeypatch.setattr("contract.raster.jpeg_grays", exhausted)

    with pytest.raises(MemoryError):
        decode(data)


def as_big_tiff(samples: bytes, columns: int) -> bytes:
    """A BigTIFF of one row of 8-bit gray, whose counts and links have 8 bytes."""
    values = {256: columns, 257: 1, 258: 8, 259: 1, 262: 1, 273: 16, 277: 1, 278: 1, 279: columns}
    entries = b"".join(struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in values.items())
    directory = struct.pack("<Q", len(values)) + entries + bytes(8)
    return b"II+\0" + struct.pack("<HHQ", 8, 0, 16 + len(samples)) + samples + directory


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("pages", [1, 2, 5])
def test_the_pages_are_counted(order: ByteOrder, pages: int) -> None:
    data = as_raw_tiff(*[CHEST] * pages, order=order)

    assert decode(data, frame=pages).frames == pages
    with pytest.raises(FrameOutOfRange, match=f"1 to {pages}"):
        decode(data, frame=pages + 1)


def test_a_big_tiff_is_read() -> None:
    assert decode(as_big_tiff(b"\1\2\3\4", 4)).pixels.tolist() == [[1, 2, 3, 4]]


def test_a_chain_that_returns_to_itself_ends() -> None:
    (first,) = struct.unpack_from("<I", PAGE, 4)
    (entries,) = struct.unpack_from("<H", PAGE, first)
    link = first + 2 + 12 * entries

    assert decode(PAGE[:link] + struct.pack("<I", first) + PAGE[link + 4 :]).frames == 1


@pytest.mark.parametrize(("method", "name"), [(50001, "webp"), (7, "jpeg"), (3, "group3")])
def test_a_compression_that_is_not_decoded_is_named(method: int, name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=name):
        decode(as_raw_tiff(CHEST, tags={259: [method]}))
