import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from pydicom import uid

from contract.cost import MAX_MEMORY_BYTES, DecodeCost, estimate_cost
from contract.errors import PixelDataMismatch, TooExpensive
from contract.radiograph import decode
from tests.odd_files import as_raw_tiff, png_chunk
from tests.synthetic import as_dicom, as_jpeg, as_png, saved, synthetic_radiograph

CHEST = synthetic_radiograph(60, 80)
DEEP = CHEST.astype(np.uint16) * 16
META_END = 132
ITEM = b"\xfe\xff\0\xe0"


def cost(data: bytes, frame: int = 1) -> DecodeCost:
    return estimate_cost(data, frame=frame, max_pixels=1_000_000)


def jpeg_2000(pixels: np.ndarray, **options: object) -> bytes:
    return saved(pixels, "JPEG2000", no_jp2=True, **options)


def in_dicom(codestream: bytes, syntax: str = uid.JPEG2000Lossless) -> bytes:
    return as_dicom(CHEST, TransferSyntaxUID=syntax, PixelData=[codestream])


@pytest.mark.parametrize(
    "data",
    [
        as_jpeg(CHEST),
        as_jpeg(np.stack([CHEST] * 3, axis=-1)),
        saved(CHEST, "JPEG", progressive=True),
        as_png(DEEP),
        *(
            as_dicom(DEEP, TransferSyntaxUID=syntax)
            for syntax in (
                uid.ExplicitVRLittleEndian,
                uid.ImplicitVRLittleEndian,
                uid.ExplicitVRBigEndian,
            )
        ),
    ],
    ids=range(7),
)
def test_the_usual_kinds_are_plain(data: bytes) -> None:
    assert cost(data).plain
    assert 4800 <= cost(data).memory_bytes <= 10 * 4800


@pytest.mark.parametrize(
    "data",
    [
        as_raw_tiff(CHEST),
        as_dicom(DEEP, TransferSyntaxUID=uid.RLELossless),
        as_dicom(DEEP, TransferSyntaxUID=uid.JPEG2000Lossless),
        as_dicom(CHEST, TransferSyntaxUID=uid.JPEGBaseline8Bit),
        as_dicom(DEEP, TransferSyntaxUID=uid.DeflatedExplicitVRLittleEndian),
        in_dicom(bytes(imagecodecs.jpegls_encode(CHEST)), uid.JPEGLSLossless),
        as_dicom(DEEP)[:-100],
        b"\xff\xd8\xff\xd9" + bytes(20),
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"tEXt", b"a\0b"),
    ],
    ids=range(9),
)
def test_all_else_is_decoded_where_it_can_be_stopped(data: bytes) -> None:
    assert not cost(data).plain
    assert cost(data).memory_bytes <= MAX_MEMORY_BYTES


def test_what_is_large_is_decoded_where_memory_is_shared() -> None:
    def of_side(side: int) -> DecodeCost:
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IEND", b"")
        return estimate_cost(data, max_pixels=100_000_000)

    assert of_side(3_500).plain
    assert not of_side(3_600).plain


COLOUR = np.stack([CHEST] * 3, axis=-1)


@pytest.mark.parametrize(
    ("data", "bytes_per_pixel"),
    [
        (as_jpeg(CHEST), 2),
        (as_jpeg(COLOUR), 2),
        (saved(CHEST, "JPEG", progressive=True), 4),
        (saved(COLOUR, "JPEG", progressive=True), 8),
        (as_jpeg(COLOUR).replace(b"\xff\xda\0\x0c\3", b"\xff\xda\0\x08\1"), 8),
    ],
    ids=["gray", "colour", "progressive gray", "progressive colour", "a scan for each colour"],
)
def test_only_a_jpeg_in_several_scans_keeps_its_coefficients(
    data: bytes, bytes_per_pixel: int
) -> None:
    assert cost(data).memory_bytes == bytes_per_pixel * CHEST.size


def png_of_chunks(count: int) -> bytes:
    png = as_png(CHEST)
    return png[:33] + count * png_chunk(b"tEXt", b"a\0b") + png[33:]


def test_the_chunks_of_a_png_are_counted() -> None:
    assert cost(png_of_chunks(8000)).plain
    assert not cost(png_of_chunks(9000)).plain
    with pytest.raises(TooExpensive, match="chunks"):
        cost(png_of_chunks(70_000))


def test_the_segments_of_a_jpeg_are_counted() -> None:
    jpeg = as_jpeg(CHEST)
    for filler in (b"\xff\xfe\0\2", b"\xff"):
        with pytest.raises(TooExpensive, match="segments"):
            cost(jpeg[:2] + 5000 * filler + jpeg[2:])


def test_the_scans_of_a_jpeg_are_counted() -> None:
    jpeg = saved(synthetic_radiograph(900, 1000), "JPEG", progressive=True)
    empty = b"\xff\xda\0\x08\1\1\0\1\5\0"

    assert cost(jpeg).plain
    assert cost(jpeg[:-2] + 2_000 * empty + jpeg[-2:]).plain
    assert not cost(jpeg[:-2] + 2_000 * empty).plain  # without its end marker, decoded twice
    assert not cost(jpeg[:-2] + 10_000 * empty + jpeg[-2:]).plain
    with pytest.raises(TooExpensive, match="s; the limits"):
        cost(jpeg[:-2] + 100_000 * empty + jpeg[-2:])


def data_set(tail: bytes) -> bytes:
    """Put elements before the pixel data, where private ones of group 7FDF have their place."""
    data = as_dicom(DEEP)
    place = data.index(b"\xe0\x7f\x10\0")
    return data[:place] + tail + data[place:]


def test_the_elements_and_items_of_a_dicom_file_are_counted() -> None:
    few, many = items(9_000), items(100_000)
    end = b"\xfe\xff\xdd\xe0\0\0\0\0"

    assert cost(data_set(few + end)).plain
    assert not cost(data_set(2 * (few + end))).plain
    with pytest.raises(TooExpensive, match="elements and items"):
        cost(data_set(many + end))
    with pytest.raises(TooExpensive, match="elements and items"):
        cost(as_dicom(DEEP) + many + end)


def test_sequences_that_are_not_read_are_not_walked() -> None:
    many = 100_000 * (ITEM + bytes(4))
    skipped = b"\xdf\x7f\x10\x10SQ\0\0" + struct.pack("<I", len(many)) + many

    assert cost(data_set(skipped)).plain
    assert decode(data_set(skipped)).pixels.shape == CHEST.shape


def test_deep_nesting_is_not_plain() -> None:
    nested = (b"\xdf\x7f\x10\x10SQ\0\0\xff\xff\xff\xff" + ITEM + b"\xff\xff\xff\xff") * 10

    assert not cost(data_set(nested)).plain
    with pytest.raises(TooExpensive, match="256 deep"):
        cost(data_set(nested * 13))


def deflated(*, before: bytes = b"", behind: bytes = b"") -> bytes:
    """Deflate a data set with more elements before its pixel data, or behind."""
    data = as_dicom(DEEP, TransferSyntaxUID=uid.DeflatedExplicitVRLittleEndian)
    start = META_END + 12 + struct.unpack_from("<I", data, META_END + 8)[0]
    inflated = zlib.decompress(data[start:], -15)
    place = inflated.index(b"\xe0\x7f\x10\0")
    packer = zlib.compressobj(wbits=-15)
    crowded = inflated[:place] + before + inflated[place:] + behind
    return data[:start] + packer.compress(crowded) + packer.flush()


def items(count: int) -> bytes:
    return b"\xdf\x7f\x10\x10SQ\0\0\xff\xff\xff\xff" + count * (ITEM + bytes(4))


@pytest.mark.parametrize("count", [70_000, 200_000])
def test_a_deflated_header_is_walked_before_it_is_inflated_in_full(count: int) -> None:
    assert not cost(deflated()).plain
    with pytest.raises(TooExpensive):
        cost(deflated(before=items(count)))


def test_elements_behind_deflated_pixels_are_counted_once_they_are_inflated() -> None:
    with pytest.raises(TooExpensive, match="elements and items"):
        decode(deflated(behind=items(200_000)))


def changed(codestream: bytes, place: int, value: int) -> bytes:
    return codestream[:place] + value.to_bytes(4, "big") + codestream[place + 4 :]


def test_the_offset_of_a_jpeg_2000_image_counts() -> None:
    codestream = jpeg_2000(CHEST)
    moved = codestream
    for place, side in ((8, 80), (12, 60)):
        moved = changed(changed(moved, place, 30_000 + side), place + 8, 30_000)

    assert not cost(in_dicom(codestream)).plain
    with pytest.raises(TooExpensive):
        cost(in_dicom(moved))


def test_the_layers_precincts_and_blocks_of_a_jpeg_2000_image_count() -> None:
    usual = cost(in_dicom(jpeg_2000(CHEST))).memory_bytes
    small = cost(in_dicom(jpeg_2000(CHEST, codeblock_size=(4, 4)))).memory_bytes
    layers = jpeg_2000(CHEST).replace(b"\xff\x52\0\x0c\0\0\0\1", b"\xff\x52\0\x0c\0\0\xff\xff")

    assert small > 3 * usual
    with_layers = in_dicom(layers)
    large = np.zeros((1000, 1000), np.uint8)
    codestream = jpeg_2000(large, precinct_size=(128, 128), codeblock_size=(64, 64))
    at = codestream.index(b"\xff\x52") + 6
    crowded = codestream[:at] + b"\xff\xff" + codestream[at + 2 :]
    assert cost(with_layers).memory_bytes == usual
    with pytest.raises(TooExpensive):
        estimate_cost(
            as_dicom(large, TransferSyntaxUID=uid.JPEG2000Lossless, PixelData=[crowded]),
            max_pixels=2_000_000,
        )


def test_the_frame_that_is_asked_for_is_the_one_whose_codestream_is_read() -> None:
    frames = np.stack([CHEST, CHEST])
    data = as_dicom(
        frames,
        NumberOfFrames=2,
        TransferSyntaxUID=uid.JPEGBaseline8Bit,
        PixelData=[as_jpeg(CHEST), as_jpeg(CHEST[:30])],
    )

    assert not cost(data, frame=1).plain
    with pytest.raises(PixelDataMismatch, match="30 x 80"):
        cost(data, frame=2)


def test_what_follows_the_end_of_a_jpeg_is_not_counted_twice() -> None:
    jpeg = as_jpeg(CHEST)

    assert estimate_cost(jpeg + bytes(60_000_000), max_pixels=1_000_000).plain is False
