import numpy as np
import pytest

from contract.codestream import completed, read_jpeg2000_header, read_jpeg_header
from contract.errors import CorruptImage, TooExpensive
from tests.synthetic import as_jpeg, saved

PIXELS = np.zeros((20, 30), dtype=np.uint8)
SIZ = b"\xff\x4f\xff\x51\0\x29\0\0"


def as_jpeg_2000(pixels: np.ndarray) -> bytes:
    return saved(pixels, "JPEG2000", no_jp2=True)


@pytest.mark.parametrize("kept", range(2, 8))
def test_a_progressive_jpeg_cut_in_the_head_of_a_scan_lacks_bits(kept: int) -> None:
    jpeg = saved(PIXELS, "JPEG", progressive=True)
    heads = [at for at in range(len(jpeg)) if jpeg.startswith(b"\xff\xda", at)]
    whole = read_jpeg_header(jpeg)
    emptied = read_jpeg_header(jpeg[: heads[1]] + b"\xff\xda\0\2" + jpeg[heads[1] :])

    assert len(heads) > 1
    assert whole is not None
    assert emptied is not None
    assert whole.has_every_bit
    assert emptied.has_every_bit
    for head in heads:
        cut = read_jpeg_header(jpeg[: head + kept])
        assert cut is not None
        assert not cut.has_every_bit


@pytest.mark.parametrize(("scanned", "is_whole"), [(b"\1\2\3", True), (b"\1\3", False)])
def test_a_sequential_jpeg_may_have_a_scan_for_each_component(
    scanned: bytes, *, is_whole: bool
) -> None:
    jpeg = as_jpeg(np.stack([PIXELS] * 3, axis=-1))
    frame = jpeg[: jpeg.index(b"\xff\xda")]
    scans = [b"\xff\xda\0\x08\1" + bytes([each]) + b"\0\0\x3f\0" for each in scanned]

    header = read_jpeg_header(frame + b"".join(scans) + b"\xff\xd9")

    assert header is not None
    assert header.has_every_bit == is_whole


def test_a_jpeg_frame_header_is_found_behind_fill_bytes_and_bare_markers() -> None:
    jpeg = as_jpeg(PIXELS)
    padded = jpeg[:2] + b"\xff\xff\xff\xd0" + jpeg[2:]

    assert read_jpeg_header(padded) == read_jpeg_header(jpeg)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9" + b"\0" * 10, b"\xff\xd8" + b"x" * 20]
)
def test_without_a_frame_header_there_is_none(data: bytes) -> None:
    assert read_jpeg_header(data) is None


def test_the_offset_of_a_jpeg_2000_image_is_no_part_of_its_size() -> None:
    fields = (b"\0\0\0\x30", b"\0\0\0\x20", b"\0\0\0\x10", b"\0\0\0\x08", b"\0" * 16)

    header = read_jpeg2000_header(SIZ + b"".join(fields) + b"\0\x03" + b"\x8b")

    assert header is not None
    assert (header.rows, header.columns) == (24, 32)
    assert (header.components, header.precision) == (3, 12)


def test_a_jpeg_2000_in_the_boxes_of_a_file_is_found_behind_them() -> None:
    boxed = read_jpeg2000_header(saved(PIXELS, "JPEG2000"))

    assert boxed == read_jpeg2000_header(as_jpeg_2000(PIXELS))
    assert boxed is not None


@pytest.mark.parametrize("data", [b"", SIZ, as_jpeg(PIXELS), b"\1\0\0\0" + SIZ + bytes(40)])
def test_without_a_size_segment_there_is_no_jpeg_2000_header(data: bytes) -> None:
    assert read_jpeg2000_header(data) is None


def test_the_coding_styles_of_components_and_tiles_count_too() -> None:
    codestream = as_jpeg_2000(np.zeros((200, 200), np.uint8))
    usual = read_jpeg2000_header(codestream)
    at = codestream.index(b"\xff\x90") + 12  # behind the first SOT
    own = b"\xff\x53\0\x0a\0\1\0\0\0\0\1\x11"  # one resolution, blocks of 4, precincts of 2
    with_own = read_jpeg2000_header(codestream[:at] + own + codestream[at:])

    assert usual is not None
    assert with_own is not None
    assert with_own.memory_bytes > usual.memory_bytes + 10_000 * 640


def test_segments_that_are_cut_short_say_nothing() -> None:
    codestream = as_jpeg_2000(PIXELS)
    cut = codestream.replace(b"\xff\x52\0\x0c", b"\xff\x52\0\x04")

    header = read_jpeg2000_header(cut)

    assert header is not None
    assert not header.is_lossy


def test_the_segments_of_a_jpeg_2000_codestream_are_counted() -> None:
    codestream = as_jpeg_2000(PIXELS)
    at = codestream.index(b"\xff\x52")

    with pytest.raises(TooExpensive, match="marker segments"):
        read_jpeg2000_header(codestream[:at] + 110_000 * b"\xff\x64\0\2" + codestream[at:])


def test_tiles_that_do_not_say_how_long_they_are_need_their_end_marker() -> None:
    codestream = as_jpeg_2000(PIXELS)
    claim = read_jpeg2000_header(codestream)
    at = codestream.index(b"\xff\x90") + 6
    open_ended = codestream[:at] + bytes(4) + codestream[at + 4 :]

    assert claim is not None
    assert completed(codestream, claim) == completed(codestream[:-2], claim) == (codestream,)
    with pytest.raises(CorruptImage, match="end marker"):
        completed(open_ended[:-2], claim)


def test_tails_stand_before_the_end_marker_or_where_it_is_missing() -> None:
    lossless = as_jpeg(PIXELS).replace(b"\xff\xc0", b"\xff\xc3")
    claim = read_jpeg_header(lossless)

    assert claim is not None
    both = completed(lossless, claim)
    assert both == completed(lossless[:-2], claim) == completed(lossless[:-2] + b"\xff", claim)
    assert len(set(both)) == 2
    assert all(each.startswith(lossless[:-2]) and each.endswith(lossless[-2:]) for each in both)


def test_a_scan_inside_the_pixel_data_of_a_lossless_jpeg_is_damage() -> None:
    lossless = as_jpeg(PIXELS).replace(b"\xff\xc0", b"\xff\xc3")
    damaged = lossless[:-4] + b"\xff\xda" + lossless[-2:]
    claim = read_jpeg_header(damaged)

    assert claim is not None
    with pytest.raises(CorruptImage, match="several scans"):
        completed(damaged, claim)
