from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from contract.errors import PixelDataMismatch, UnsupportedFormat
from contract.radiograph import decode
from tests.odd_files import as_lut_item
from tests.synthetic import as_dicom

WIDE = 300  # more pixels than 16 bits have values, when squared


def grays(stored: Sequence[float], dtype: str, **attributes: object) -> list[int]:
    """Decode a row of stored values; 16-bit grays are easier to check than pictures."""
    row = np.array([stored], dtype=dtype)
    return [int(gray) for gray in decode(as_dicom(row, **attributes)).pixels[0]]


def test_8_bit_values_without_a_window_are_grays_already() -> None:
    assert grays([10, 100, 200], "uint8") == [10, 100, 200]


def test_values_of_fewer_bits_than_8_reach_white() -> None:
    assert grays([0, 31, 63], "uint8", BitsStored=6) == [0, 125, 255]


def test_an_identity_rescale_changes_nothing() -> None:
    assert grays([10, 200], "uint8", RescaleSlope=1, RescaleIntercept=0) == [10, 200]


def test_16_bit_values_without_a_window_are_stretched() -> None:
    assert grays([1000, 1500, 2000], "uint16") == [0, 32768, 65535]


def test_signed_values_without_a_window_are_stretched() -> None:
    assert grays([-100, 0, 100], "int16") == [0, 32768, 65535]


def test_a_constant_image_without_a_window_is_black() -> None:
    assert grays([700, 700], "uint16") == [0, 0]


def test_a_falling_rescale_turns_the_range_around() -> None:
    assert grays([0, 50, 100], "int16", RescaleSlope=-1, RescaleIntercept=0) == [65535, 32768, 0]


@pytest.mark.parametrize("width", [4, WIDE])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_every_integer_type_gives_the_same_picture(dtype: str, width: int) -> None:
    ramp = np.resize(np.arange(101), (width, width)).astype(dtype)

    pixels = decode(as_dicom(ramp, WindowCenter=50.5, WindowWidth=101)).pixels

    white = 255 if dtype.endswith("t8") else 65535
    assert np.abs(pixels - ramp.astype(np.float64) / 100 * white).max() <= 0.5


@pytest.mark.parametrize("dtype", ["uint32", "int32", "float32", "float64"])
def test_pixels_deeper_than_16_bits_are_unsupported(dtype: str) -> None:
    with pytest.raises(UnsupportedFormat, match="not decoded here"):
        grays([0, 1], dtype)


# (x - (c - 0.5)) / (w - 1) + 0.5 with c=100, w=201 is x / 200 + 0.0025.
def test_a_window_is_linear_where_the_file_does_not_say_otherwise() -> None:
    window = {"WindowCenter": 100, "WindowWidth": 201}

    assert grays([0, 99, 199, 300], "uint16", **window) == [164, 32604, 65371, 65535]


def test_a_sigmoid_window_never_reaches_its_ends() -> None:
    window = {"WindowCenter": 100, "WindowWidth": 200, "VOILUTFunction": "SIGMOID"}
    share = 1 / (1 + np.exp(2))

    assert grays([0, 100, 200], "uint16", **window) == [
        round(share * 65535),
        32768,
        round((1 - share) * 65535),
    ]


def test_the_first_of_several_windows_is_applied() -> None:
    window = {"WindowCenter": [50.5, 9.0], "WindowWidth": [101.0, 2.0]}

    assert grays([0, 50, 100], "uint16", **window) == [0, 32768, 65535]


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 50, "WindowWidth": 0},
        {"WindowCenter": 50, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 50, "WindowWidth": 0.5},
        {"WindowCenter": 50},
        {"WindowCenter": "", "WindowWidth": ""},
    ],
)
def test_a_window_that_the_standard_forbids_is_taken_for_none(window: dict[str, object]) -> None:
    assert grays([0, 50, 100], "uint16", **window) == [0, 32768, 65535]


def test_a_rescale_comes_before_the_window() -> None:
    attributes = {"RescaleSlope": 2, "RescaleIntercept": -100}

    assert grays([50, 100], "uint16", **attributes, WindowCenter=50.5, WindowWidth=101) == [
        0,
        65535,
    ]


def test_monochrome1_is_inverted_after_the_window() -> None:
    attributes = {"WindowCenter": 50.5, "WindowWidth": 101}

    inverted = grays([0, 25, 100], "uint16", PhotometricInterpretation="MONOCHROME1", **attributes)

    assert inverted == [65535, 49151, 0]


@pytest.mark.parametrize(
    ("photometric_interpretation", "shape", "expected"),
    [
        ("MONOCHROME1", None, [255, 55]),
        ("MONOCHROME1", "INVERSE", [255, 55]),
        ("MONOCHROME1", "IDENTITY", [255, 55]),
        ("MONOCHROME2", "INVERSE", [255, 55]),
        ("MONOCHROME2", "IDENTITY", [0, 200]),
    ],
)
def test_an_image_is_inverted_once_however_often_it_says_so(
    photometric_interpretation: str, shape: str | None, expected: list[int]
) -> None:
    attributes = {"PresentationLUTShape": shape} if shape else {}

    assert (
        grays([0, 200], "uint8", PhotometricInterpretation=photometric_interpretation, **attributes)
        == expected
    )


def test_ct_is_shown_with_a_lung_window_whatever_its_own_says() -> None:
    attributes = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024}
    own_window = {"WindowCenter": 40, "WindowWidth": 100}
    stored = [0, 424, 1173, 1174, 2000]  # -1024, -600, +149, +150 and +976 HU

    expected = [
        round(min(max((hu + 600.5) / 1499 + 0.5, 0), 1) * 65535)
        for hu in (-1024, -600, 149, 150, 976)
    ]
    assert grays(stored, "uint16", **attributes, **own_window) == expected
    assert expected[2:] == [65535, 65535, 65535]


def test_ct_without_a_rescale_is_shown_as_any_other_image() -> None:
    attributes = {"Modality": "CT", "WindowCenter": 50.5, "WindowWidth": 101}

    assert grays([0, 50, 100], "uint16", **attributes) == [0, 32768, 65535]


def test_padding_is_black_and_no_part_of_the_range() -> None:
    assert grays([0, 1000, 2000], "uint16", PixelPaddingValue=0) == [0, 0, 65535]
    assert grays([1000, 2000, 9999], "uint16", PixelPaddingValue=9999) == [0, 65535, 0]


def test_padding_stays_black_when_the_image_is_inverted() -> None:
    padded = grays(
        [0, 1000, 2000],
        "uint16",
        PixelPaddingValue=0,
        PhotometricInterpretation="MONOCHROME1",
    )

    assert padded == [0, 65535, 0]


@pytest.mark.parametrize("ends", [(100, 200), (200, 100)])
def test_a_range_of_values_may_be_padding(ends: tuple[int, int]) -> None:
    padding = {"PixelPaddingValue": ends[0], "PixelPaddingRangeLimit": ends[1]}

    assert grays([99, 100, 150, 200, 201], "uint16", **padding) == [0, 0, 0, 0, 65535]


def test_padding_may_be_negative() -> None:
    assert grays([-2000, 0, 100], "int16", PixelPaddingValue=-2000) == [0, 0, 65535]


def test_negative_padding_may_be_written_as_its_unsigned_bits() -> None:
    data = as_dicom(np.array([[-2000, 0, 100]], dtype=np.int16), PixelPaddingValue=-2000)
    unsigned = data.replace(b"\x20\x01SS", b"\x20\x01US")

    assert unsigned != data
    assert decode(unsigned).pixels.tolist() == [[0, 0, 65535]]


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_an_image_of_padding_alone_is_black(dtype: str) -> None:
    assert grays([7, 7, 7], dtype, PixelPaddingValue=7) == [0, 0, 0]


def test_the_range_of_a_large_image_leaves_out_its_padding() -> None:
    pixels = np.full((WIDE, WIDE), 60_000, dtype=np.uint16)
    pixels[0, :3] = [1000, 1500, 2000]

    decoded = decode(as_dicom(pixels, PixelPaddingValue=60_000)).pixels

    assert decoded[0, :4].tolist() == [0, 32768, 65535, 0]


def test_overlay_bits_above_the_stored_bits_are_ignored() -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}

    assert grays([0xF000, 0x1FFF, 0x0FFF], "uint16", BitsStored=12, **window) == [0, 65535, 65535]


def test_the_sign_of_12_stored_bits_is_the_twelfth() -> None:
    window = {"WindowCenter": 0, "WindowWidth": 4096}
    stored = [0x0800, 0x0000, 0x07FF]  # -2048, 0 and 2047

    # (0 + 0.5) / 4095 + 0.5 of 65535
    assert grays(stored, "int16", BitsStored=12, **window) == [0, 32776, 65535]


def test_a_modality_table_comes_before_the_window() -> None:
    table = as_lut_item(first=10, entries=[0, 500, 1000], bits=16)
    window = {"WindowCenter": 500.5, "WindowWidth": 1001}

    assert grays([9, 10, 11, 12, 13], "uint16", ModalityLUTSequence=[table], **window) == [
        0,
        0,
        32768,
        65535,
        65535,
    ]


def test_the_range_after_a_modality_table_is_that_of_its_output() -> None:
    table = as_lut_item(first=0, entries=[300, 100, 200], bits=16)

    assert grays([0, 1, 2], "uint8", ModalityLUTSequence=[table]) == [255, 0, 128]


def test_a_voi_table_is_preferred_to_a_window() -> None:
    table = as_lut_item(first=100, entries=[0, 4095, 1024], bits=12)

    assert grays(
        [99, 100, 101, 102, 103],
        "uint16",
        VOILUTSequence=[table],
        WindowCenter=100,
        WindowWidth=2,
    ) == [0, 0, 65535, 16388, 16388]


def test_a_voi_table_maps_the_rescaled_values() -> None:
    table = as_lut_item(first=-5, entries=[0, 255], bits=8, is_signed=True)
    attributes = {"RescaleSlope": 1, "RescaleIntercept": -10, "VOILUTSequence": [table]}

    assert grays([5, 6], "int16", **attributes) == [0, 65535]


def test_the_window_of_one_frame_comes_before_the_shared_one() -> None:
    frames = np.array([[[0, 50, 100]], [[0, 50, 100]]], dtype=np.uint16)
    own, shared = Dataset(), Dataset()
    own.FrameVOILUTSequence = [window_item(25.5, 51)]
    shared.FrameVOILUTSequence = [window_item(50.5, 101)]
    data = as_dicom(
        frames,
        NumberOfFrames=2,
        WindowCenter=1,
        WindowWidth=1,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[Dataset(), own],
    )

    assert decode(data, frame=1).pixels.tolist() == [[0, 32768, 65535]]
    assert decode(data, frame=2).pixels.tolist() == [[0, 65535, 65535]]


def window_item(center: float, width: float) -> Dataset:
    item = Dataset()
    item.WindowCenter, item.WindowWidth = center, width
    return item


def test_the_rescale_of_a_frame_is_read_from_its_functional_groups() -> None:
    transformation, groups = Dataset(), Dataset()
    transformation.RescaleSlope, transformation.RescaleIntercept = 1, -1024
    groups.PixelValueTransformationSequence = [transformation]
    row = np.array([[0, 424, 2000]], dtype=np.uint16)

    decoded = decode(as_dicom(row, Modality="CT", SharedFunctionalGroupsSequence=[groups]))

    # (-1024 + 600.5) / 1499 + 0.5 and (-600 + 600.5) / 1499 + 0.5 of 65535
    assert decoded.pixels.tolist() == [[14252, 32789, 65535]]


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_a_number_that_is_not_finite_is_a_mismatch(keyword: str) -> None:
    data = as_dicom(np.array([[1, 2]], dtype=np.uint16), **{keyword: 1.5, "WindowWidth": 2})

    with pytest.raises(PixelDataMismatch, match="no number"):
        decode(data.replace(b"1.5 ", b"inf "))


def test_values_too_large_to_be_shown_are_a_mismatch() -> None:
    with pytest.raises(PixelDataMismatch, match="too large"):
        grays([0, 60_000], "uint16", RescaleSlope=1e306, RescaleIntercept=0)


@pytest.mark.parametrize("gray", [0, 65535])
@pytest.mark.parametrize("shape", [(1, 1), (20_000, 40)])
def test_extreme_shapes_and_constant_images_decode(shape: tuple[int, int], gray: int) -> None:
    pixels: NDArray[np.uint16] = np.full(shape, gray, dtype=np.uint16)
    window = {"WindowCenter": 32768, "WindowWidth": 65536}

    assert np.array_equal(decode(as_dicom(pixels, **window)).pixels, pixels)


def test_a_malformed_table_without_a_window_is_a_mismatch() -> None:
    with pytest.raises(PixelDataMismatch, match="malformed"):
        grays([1, 2], "uint16", VOILUTSequence=[Dataset()])


def test_the_first_window_that_can_be_used_is_taken() -> None:
    windows = {"WindowCenter": [50, 100], "WindowWidth": [0, 201]}
    functions = {"VOILUTFunction": ["SIGMOID", "LINEAR_EXACT"]}

    assert grays([0, 100], "uint16", **windows) == grays(
        [0, 100], "uint16", WindowCenter=100, WindowWidth=201
    )
    assert grays(
        [0, 100], "uint16", WindowCenter=[-1, 100], WindowWidth=[-5, 200], **functions
    ) == [
        0,
        32768,
    ]
