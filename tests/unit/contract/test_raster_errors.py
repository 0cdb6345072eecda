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
DEEP_COLOUR = as_deep_png(np.full((4, 4, 3), 60_000, np.uint16))
DEEP = CHEST.astype(np.uint16) * 16 + 15


def drawn(colours: int, *, progressive: bool = True) -> bytes:
    pixels = CHEST if colours == 1 else np.stack([CHEST] * 3, axis=-1)
    return saved(pixels, "JPEG", quality=95, progressive=progressive)


SINGLE = as_jpeg(CHEST), as_png(CHEST), as_tiff(CHEST), as_dicom(CHEST)
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
        as_jpeg(CHEST).replace(b"\0\x3c\0\x50", b"\xff\xff\xff\xff"),
        as_png(CHEST)[:8] + png_chunk(b"IHDR", ENORMOUS + b"\x08\0\0\0\0") + as_png(CHEST)[33:],
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
    [
        as_jpeg(CHEST),
        as_jpeg(np.stack([CHEST] * 3, axis=-1)),
        as_png(CHEST),
        as_tiff(CHEST),
        as_raw_tiff(DEEP),
    ],
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
@pytest.mark.parametrize("jpeg", [as_jpeg(CHEST), drawn(1), drawn(3)])
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


def test_pixel_data_that_is_left_over_is_damage() -> None:
    jpeg = as_jpeg(CHEST)
    left_over = jpeg[:-2] + jpeg[700:900].replace(b"\xff", b"") + jpeg[-2:]

    with pytest.raises(CorruptImage):
        decode(left_over)


def test_an_odd_field_that_changes_no_pixel_is_passed_over() -> None:
    jpeg = as_jpeg(CHEST)
    odd = jpeg.replace(b"\xff\xda\0\x08\1\1\0\0\x3f\0", b"\xff\xda\0\x08\1\1\0\0\x20\0")

    assert odd != jpeg
    assert np.array_equal(decode(odd).pixels, decode(jpeg).pixels)


def test_a_flipped_bit_in_a_png_is_noticed() -> None:
    png = bytearray(as_png(CHEST))
    png[len(png) // 2] ^= 1

    with pytest.raises(CorruptImage, match="PNG is truncated or damaged"):
        decode(bytes(png))


def test_an_image_without_pixels_is_corrupt() -> None:
    jpeg = as_jpeg(CHEST).replace(b"\0\x3c\0\x50", b"\0\0\0\x50")

    with pytest.raises(CorruptImage):
        decode(jpeg)


def test_strips_that_do_not_cover_a_tiff_are_corrupt() -> None:
    data = as_raw_tiff(CHEST, tags={278: [30], 279: [2400]})

    with pytest.raises(CorruptImage, match="do not cover"):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        *(as_raw_tiff(np.zeros((4, 4), dtype)) for dtype in ("f4", "f8", "i1", "i2", "u4")),
        as_raw_tiff(np.zeros((4, 4, 3), dtype=np.uint16)),
        as_raw_tiff(np.zeros((4, 4, 3), dtype=np.uint16), tags={284: [2]}),
        as_raw_tiff(np.zeros((4, 4, 3), dtype=np.uint8), tags={262: [8]}),
        as_raw_tiff(CHEST, tags={259: [34712]}),
        as_raw_tiff(CHEST, tags={262: [999]}),
        DEEP_COLOUR[:33] + png_chunk(b"tRNS", b"\xea\x60" * 3) + DEEP_COLOUR[33:],
        as_deep_png(np.stack([DEEP] * 3, axis=-1)),
        as_jpeg(CHEST).replace(b"\xff\xc0\x00\x0b\x08", b"\xff\xc1\x00\x0b\x0c"),
        as_jpeg(CHEST).replace(b"\xff\xc0\x00\x0b\x08", b"\xff\xc3\x00\x0b\x08"),
        as_jpeg(CHEST).replace(b"\xff\xc0\x00\x0b\x08", b"\xff\xc9\x00\x0b\x08"),
    ],
    ids=[
        *("float32", "float64", "int8", "int16", "uint32", "deep colour", "deep planes", "lab"),
        *("jpeg 2000 in tiff", "unknown colours", "deep colour key", "12-bit colour", "12", "sof3"),
        "arithmetic",
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


def test_a_jpeg_without_a_frame_header_is_corrupt() -> None:
    with pytest.raises(CorruptImage):
        decode(b"\xff\xd8\xff\xd9" + bytes(20))


def test_empty_bytes_are_no_image() -> None:
    with pytest.raises(NotAnImage):
        decode(b"")


def test_the_message_of_pillow_is_not_passed_on() -> None:
    with pytest.raises(CorruptImage) as caught:
        decode(as_jpeg(CHEST)[:-20])

    assert str(caught.value.__cause__) not in str(caught.value)


@pytest.mark.parametrize("data", [as_jpeg(CHEST), as_png(CHEST), as_tiff(CHEST)])
def test_a_lack_of_memory_says_nothing_of_the_image(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    def exhausted(*_given: object) -> None:
        raise MemoryError

    monkeypatch.setattr("contract.raster._gray", exhausted)
    monkeypatch.setattr("contract.raster.jpeg_grays", exhausted)

    with pytest.raises(MemoryError):
        decode(data)


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
