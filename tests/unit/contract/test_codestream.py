import numpy as np
import pytest

from contract.codestream import (
    CodestreamHeader,
    completed,
    read_codestream_header,
    read_jpeg2000_header,
)
from contract.errors import CorruptImage, TooExpensive
from tests.synthetic import as_jpeg, saved

PIXELS = np.zeros((20, 30), dtype=np.uint8)
SIZ = b"\xff\x4f\xff\x51\0\x29\0\0"
LOSSLESS = as_jpeg(PIXELS).replace(b"\xff\xc0", b"\xff\xc3")


def as_jpeg_2000(pixels: np.ndarray) -> bytes:
    return saved(pixels, "JPEG2000", no_jp2=True)


def header_of(codestream: bytes) -> CodestreamHeader:
    header = read_codestream_header(codestream)
    assert header is not None
    return header


@pytest.mark.parametrize("kept", range(2, 8))
def test_a_progressive_jpeg_cut_in_the_head_of_a_scan_lacks_bits(kept: int) -> None:
    jpeg = saved(PIXELS, "JPEG", progressive=True)
    heads = [at for at in range(len(jpeg)) if jpeg.startswith(b"\xff\xda", at)]
    emptied = jpeg[: heads[1]] + b"\xff\xda\0\2" + jpeg[heads[1] :]

    assert len(heads) > 1
    assert header_of(jpeg).has_every_bit
    assert header_of(emptied).has_every_bit
    assert not any(header_of(jpeg[: head + kept]).has_every_bit for head in heads)


@pytest.mark.parametrize(("scanned", "is_whole"), [(b"\1\2\3", True), (b"\1\3", False)])
def test_a_sequential_jpeg_may_have_a_scan_for_each_component(
    scanned: bytes, *, is_whole: bool
) -> None:
    jpeg = as_jpeg(np.stack([PIXELS] * 3, axis=-1))
    frame = jpeg[: jpeg.index(b"\xff\xda")]
    scans = [b"\xff\xda\0\x08\1" + bytes([each]) + b"\0\0\x3f\0" for each in scanned]

    assert header_of(frame + b"".join(scans) + b"\xff\xd9").has_every_bit == is_whole


def test_a_jpeg_frame_header_is_found_behind_fill_bytes_and_bare_markers() -> None:
    jpeg = as_jpeg(PIXELS)

    assert header_of(jpeg[:2] + b"\xff\xff\xff\xd0" + jpeg[2:]) == header_of(jpeg)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xff\xd8", b"\xff\xd8\xff\xd9" + b"\0" * 10, b"\xff\xd8" + b"x" * 20),
        *(SIZ, b"\1\0\0\0" + SIZ + bytes(40)),
    ],
)
def test_without_the_segment_that_says_its_size_a_codestream_has_no_header(data: bytes) -> None:
    assert read_codestream_header(data) is None


def test_a_jpeg_2000_in_the_boxes_of_a_file_is_found_behind_them() -> None:
    assert header_of(saved(PIXELS, "JPEG2000")) == read_jpeg2000_header(as_jpeg_2000(PIXELS))


def test_the_coding_styles_of_components_and_tiles_count_too() -> None:
    codestream = as_jpeg_2000(np.zeros((200, 200), np.uint8))
    at = codestream.index(b"\xff\x90") + 12  # behind the first SOT
    own = b"\xff\x53\0\x0a\0\1\0\0\0\0\1\x11"  # one resolution, blocks of 4, precincts of 2

    with_own = header_of(codestream[:at] + own + codestream[at:])

    assert with_own.memory_bytes > header_of(codestream).memory_bytes + 10_000 * 640


def test_segments_that_are_cut_short_say_nothing() -> None:
    cut = as_jpeg_2000(PIXELS).replace(b"\xff\x52\0\x0c", b"\xff\x52\0\x04")

    assert not header_of(cut).is_lossy


def test_the_segments_of_a_jpeg_2000_codestream_are_counted() -> None:
    codestream = as_jpeg_2000(PIXELS)
    at = codestream.index(b"\xff\x52")

    with pytest.raises(TooExpensive, match="marker segments"):
        header_of(codestream[:at] + 110_000 * b"\xff\x64\0\2" + codestream[at:])


def test_tiles_that_do_not_say_how_long_they_are_need_their_end_marker() -> None:
    codestream = as_jpeg_2000(PIXELS)
    claim = header_of(codestream)
    at = codestream.index(b"\xff\x90") + 6
    open_ended = codestream[:at] + bytes(4) + codestream[at + 4 :]

    assert completed(codestream, claim) == completed(codestream[:-2], claim) == (codestream,)
    with pytest.raises(CorruptImage, match="end marker"):
        completed(open_ended[:-2], claim)


def test_tails_stand_before_the_end_marker_or_where_it_is_missing() -> None:
    claim = header_of(LOSSLESS)

    both = completed(LOSSLESS, claim)
    assert both == completed(LOSSLESS[:-2], claim) == completed(LOSSLESS[:-2] + b"\xff", claim)
    assert len(set(both)) == 2
    assert all(each.startswith(LOSSLESS[:-2]) and each.endswith(LOSSLESS[-2:]) for each in both)


def test_a_scan_inside_the_pixel_data_of_a_lossless_jpeg_is_damage() -> None:
    damaged = LOSSLESS[:-4] + b"\xff\xda" + LOSSLESS[-2:]

    with pytest.raises(CorruptImage, match="several scans"):
        completed(damaged, header_of(damaged))
