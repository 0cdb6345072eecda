from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from contract.errors import PixelDataMismatch, UnsupportedFormat
from contract.radiograph import decode
from tests.odd_files import ByteOrder, as_lut_item, as_palette
from tests.synthetic import as_dicom, synthetic_radiograph

STRETCHED = [0, 32768, 65535]
INDEX = np.array([[0, 1, 2]], dtype=np.uint8)
COLOURS = [(255, 0, 0), (0, 255, 0), (255, 255, 255)]


def grays(stored: Sequence[float], dtype: str, **attributes: object) -> list[int]:
    """Decode a row of stored values; 16-bit grays are easier to check than pictures."""
    row = np.array([stored], dtype=dtype)
    return [int(gray) for gray in decode(as_dicom(row, **attributes)).pixels[0]]


def window(center: float, width: float) -> dict[str, object]:
    return {"WindowCenter": center, "WindowWidth": width}


def rescale(slope: float, intercept: float) -> dict[str, object]:
    return {"RescaleSlope": slope, "RescaleIntercept": intercept}


def table(keyword: str, first: int, entries: list[int], bits: int) -> dict[str, object]:
    return {keyword: [as_lut_item(first, entries, bits, is_signed=first < 0)]}


def packed_item(first: int, words: list[int], entries: int) -> Dataset:
    """A table of 8-bit entries, of which each word holds one or two."""
    item = as_lut_item(first, words, 8)
    item.LUTDescriptor[0] = entries
    return item


# What the file says, its stored values, their type and the grays that they are.
PIPELINE: dict[str, tuple[Mapping[str, object], list[int], str, list[int]]] = {
    "fewer bits than 8 reach white": ({"BitsStored": 6}, [0, 31, 63], "uint8", [0, 125, 255]),
    "an identity rescale changes nothing": (rescale(1, 0), [10, 200], "uint8", [10, 200]),
    "a constant image without a window is black": ({}, [700, 700], "uint16", [0, 0]),
    "a falling rescale turns around": (rescale(-1, 0), [0, 50, 100], "int16", STRETCHED[::-1]),
    "CT without a rescale is shown as any other": (
        {"Modality": "CT"} | window(50.5, 101),
        *([0, 50, 100], "uint16", STRETCHED),
    ),
    "padding may be negative": (
        *({"PixelPaddingValue": -2000}, [-2000, 0, 100], "int16", [0, 0, 65535]),
    ),
    "padding may lie outside the stored bits": (
        {"BitsStored": 12, "PixelPaddingValue": -32768} | window(0, 4096),
        *([-32768, 0, 2047], "int16", [0, 32776, 65535]),
    ),
    "a range of values may be padding": (
        {"PixelPaddingValue": 100, "PixelPaddingRangeLimit": 200},
        *([99, 100, 150, 200, 201], "uint16", [0, 0, 0, 0, 65535]),
    ),
    "a range of padding may be written the other way round": (
        {"PixelPaddingValue": 200, "PixelPaddingRangeLimit": 100},
        *([99, 100, 150, 200, 201], "uint16", [0, 0, 0, 0, 65535]),
    ),
    "padding alone is black": ({"PixelPaddingValue": 7}, [7, 7, 7], "uint16", [0, 0, 0]),
    "overlay bits are ignored": (
        {"BitsStored": 12} | window(2048, 4096),
        *([0xF000, 0x1FFF, 0x0FFF], "uint16", [0, 65535, 65535]),
    ),
    # (0 + 0.5) / 4095 + 0.5 of 65535
    "the sign of 12 bits is the twelfth": (
        {"BitsStored": 12} | window(0, 4096),
        *([0x0800, 0, 0x07FF], "int16", [0, 32776, 65535]),
    ),
    "a modality table comes before the window": (
        table("ModalityLUTSequence", 10, [0, 500, 1000], 16) | window(500.5, 1001),
        *([9, 10, 11, 12, 13], "uint16", [0, 0, 32768, 65535, 65535]),
    ),
    "the range after a modality table is its output's": (
        table("ModalityLUTSequence", 0, [300, 100, 200], 16),
        *([0, 1, 2], "uint8", [255, 0, 128]),
    ),
    "a window is preferred to a VOI table of zeros": (
        table("VOILUTSequence", 0, [0, 0, 0], 12) | window(50.5, 101),
        *([0, 50, 100], "uint16", STRETCHED),
    ),
    "a VOI table is preferred to a window": (
        table("VOILUTSequence", 100, [0, 4095, 1024], 12) | window(100, 2),
        *([99, 100, 101, 102, 103], "uint16", [0, 0, 65535, 16388, 16388]),
    ),
    "the entries of a table are shares of their own depth": (
        table("VOILUTSequence", 0, [0, 1000, 4095], 16),
        *([0, 1, 2], "uint16", [0, 16004, 65535]),
    ),
    "two entries of 8 bits may share a word": (
        {"VOILUTSequence": [packed_item(0, [0x3300, 0xFF], 3)]},
        *([0, 1, 2], "uint16", [0, 13107, 65535]),
    ),
    "a first value is negative where the pixels are signed": (
        {"VOILUTSequence": [packed_item(0xFFFE, [0, 255], 2)]},
        *([-2, -1], "int16", [0, 65535]),
    ),
    "a first value is positive in implicit VR where the rescaled values are": (
        {"TransferSyntaxUID": ImplicitVRLittleEndian}
        | rescale(1, 42048)
        | table("VOILUTSequence", 42048, [0, 255], 8),
        *([0, 1], "int16", [0, 65535]),
    ),
    "a signed table in implicit VR may have more than 32767 entries": (
        {
            "TransferSyntaxUID": ImplicitVRLittleEndian,
            "VOILUTSequence": [as_lut_item(65536 - 20000, range(40001), 16)],
        },
        *([-20000, 0, 20000], "int16", [0, 20000, 40000]),
    ),
    "a first value may be negative where no pixel is": (
        table("VOILUTSequence", -2, [9, 9, 0, 255], 8),
        *([0, 1], "uint16", [0, 65535]),
    ),
    "a VOI table maps the rescaled values": (
        rescale(1, -10) | table("VOILUTSequence", -5, [0, 255], 8),
        *([5, 6], "int16", [0, 65535]),
    ),
    "zero entries mean 65536": (
        {"VOILUTSequence": [as_lut_item(0, range(1 << 16), 16)]}
        | {"TransferSyntaxUID": ImplicitVRLittleEndian},
        *([0, 40_000, 65535], "uint16", [0, 40_000, 65535]),
    ),
    **{
        f"a window that the Standard forbids is taken for none: {each}": (
            *(each, [0, 50, 100], "uint16", STRETCHED),
        )
        for each in (
            window(50, 0),
            window(50, 0) | {"VOILUTFunction": "SIGMOID"},
            window(50, 0.5),
            {"WindowCenter": 50},
            {"WindowCenter": "", "WindowWidth": ""},
        )
    },
    "the first window that can be used is taken": (
        {"WindowCenter": [50, 25.5], "WindowWidth": [0, 51]},
        *([0, 50, 100], "uint16", [0, 65535, 65535]),
    ),
    "each window has its function": (
        {"WindowCenter": [-1, 100], "WindowWidth": [-5, 200]}
        | {"VOILUTFunction": ["SIGMOID", "LINEAR_EXACT"]},
        *([0, 100], "uint16", [0, 32768]),
    ),
    **{
        f"{name} is inverted once, whatever {shape} says": (
            {"PhotometricInterpretation": name, "PresentationLUTShape": shape},
            *([0, 200], "uint8", expected),
        )
        for name, shape, expected in (
            ("MONOCHROME1", "INVERSE", [255, 55]),
            ("MONOCHROME1", "IDENTITY", [255, 55]),
            ("MONOCHROME2", "INVERSE", [255, 55]),
            ("MONOCHROME2", "IDENTITY", [0, 200]),
        )
    },
}


@pytest.mark.parametrize("case", PIPELINE)
def test_the_stages_of_the_pipeline_follow_the_standard(case: str) -> None:
    attributes, stored, dtype, expected = PIPELINE[case]

    assert grays(stored, dtype, **attributes) == expected


@pytest.mark.parametrize("dtype", ["uint32", "int32", "float32", "float64"])
def test_pixels_deeper_than_16_bits_are_unsupported(dtype: str) -> None:
    with pytest.raises(UnsupportedFormat, match="not decoded here"):
        grays([0, 1], dtype)


def test_negative_padding_may_be_written_as_its_unsigned_bits() -> None:
    data = as_dicom(np.array([[-2000, 0, 100]], dtype=np.int16), PixelPaddingValue=-2000)
    unsigned = data.replace(b"\x20\x01SS", b"\x20\x01US")

    assert unsigned != data
    assert decode(unsigned).pixels.tolist() == [[0, 0, 65535]]


def group(name: str, attributes: Mapping[str, object]) -> Dataset:
    """A functional group with one item."""
    item, groups = Dataset(), Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    setattr(groups, f"{name}Sequence", [item])
    return groups


def test_the_window_of_one_frame_comes_before_the_shared_one() -> None:
    own = group("FrameVOILUT", window(25.5, 51))
    data = as_dicom(
        np.array([[[0, 50, 100]], [[0, 50, 100]]], dtype=np.uint16),
        NumberOfFrames=2,
        SharedFunctionalGroupsSequence=[group("FrameVOILUT", window(50.5, 101))],
        PerFrameFunctionalGroupsSequence=[Dataset(), own],
        **window(1, 1),
    )

    assert decode(data, frame=1).pixels.tolist() == [[0, 32768, 65535]]
    assert decode(data, frame=2).pixels.tolist() == [[0, 65535, 65535]]


def test_the_rescale_of_a_frame_is_read_from_its_functional_groups() -> None:
    groups = [group("PixelValueTransformation", rescale(1, -1024))]

    # (-1024 + 600.5) / 1499 + 0.5 and (-600 + 600.5) / 1499 + 0.5 of 65535
    assert grays(
        [0, 424, 2000], "uint16", Modality="CT", SharedFunctionalGroupsSequence=groups
    ) == [14252, 32789, 65535]


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_a_number_that_is_not_finite_is_a_mismatch(keyword: str) -> None:
    data = as_dicom(np.array([[1, 2]], dtype=np.uint16), **{keyword: 1.5, "WindowWidth": 2})

    with pytest.raises(PixelDataMismatch, match="no number"):
        decode(data.replace(b"1.5 ", b"inf "))


def test_values_too_large_to_be_shown_are_a_mismatch() -> None:
    with pytest.raises(PixelDataMismatch, match="too large"):
        grays([0, 60_000], "uint16", RescaleSlope=1e306, RescaleIntercept=0)


@pytest.mark.parametrize(
    "descriptor", [None, (3, 0, 8), (2, 0, 0), (2, 0, 17)], ids=["none", "short", "flat", "deep"]
)
def test_a_table_that_contradicts_itself_and_no_window_are_a_mismatch(
    descriptor: tuple[int, ...] | None,
) -> None:
    item = Dataset()
    if descriptor:
        item = as_lut_item(0, [1, 2], 16)
        item.LUTDescriptor = list(descriptor)
        item.LUTData = [1] if descriptor[0] == 3 else [1, 2]

    with pytest.raises(PixelDataMismatch, match=r"malformed|shorter or deeper"):
        grays([1, 2], "uint16", VOILUTSequence=[item])


def test_two_palette_entries_of_8_bits_may_share_a_word() -> None:
    palette = as_palette(COLOURS, 8)
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        entries = bytes(samples[channel] for samples in COLOURS)
        palette[f"{colour}PaletteColorLookupTableData"] = entries + b"\0"

    assert decode(as_dicom(INDEX, **palette)).pixels.tolist() == [[76, 150, 255]]


@pytest.mark.parametrize(
    ("syntax", "order"), [(ImplicitVRLittleEndian, "<"), (ExplicitVRBigEndian, ">")]
)
def test_a_palette_is_read_in_each_encoding(syntax: str, order: ByteOrder) -> None:
    deep = [tuple(257 * sample for sample in colour) for colour in COLOURS]
    palette = as_palette(deep, 16, order=order)

    pixels = decode(as_dicom(INDEX, TransferSyntaxUID=syntax, **palette)).pixels

    assert (pixels // 257).tolist() == [[76, 149, 255]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_index_outside_the_palette_takes_its_nearest_colour(dtype: str) -> None:
    index = np.array([[0, 101, np.iinfo(dtype).max]], dtype=dtype)

    pixels = decode(as_dicom(index, **as_palette(COLOURS, 8, first=100))).pixels

    assert pixels.tolist() == [[76, 150, 255]]


def test_a_palette_of_8_bits_may_have_more_colours_than_they_have_values() -> None:
    index = np.array([[0, 255, 256, 999]], dtype=np.uint16)
    palette = as_palette([(i // 4,) * 3 for i in range(1000)], 8)

    assert decode(as_dicom(index, **palette)).pixels.tolist() == [[0, 63, 64, 249]]


def test_an_image_without_its_palette_is_a_mismatch() -> None:
    with pytest.raises(PixelDataMismatch, match="malformed"):
        decode(as_dicom(INDEX, PhotometricInterpretation="PALETTE COLOR"))


def test_a_palette_in_segments_is_unsupported() -> None:
    palette = as_palette(COLOURS, 16)
    for colour in ("Red", "Green", "Blue"):
        data = palette.pop(f"{colour}PaletteColorLookupTableData")
        palette[f"Segmented{colour}PaletteColorLookupTableData"] = data

    with pytest.raises(UnsupportedFormat, match="in segments"):
        decode(as_dicom(INDEX, **palette))


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("slope", [1, -2])
@pytest.mark.parametrize("outlier", [4095, 0])
def test_a_dead_pixel_does_not_rescale_an_image_without_a_window(
    outlier: int, slope: int, *, is_signed: bool
) -> None:
    chest = synthetic_radiograph(60, 80).astype(np.int16) * 5 + 1500 - 2048 * is_signed
    given = {"BitsStored": 12, "RescaleSlope": slope, "RescaleIntercept": 7}
    clean = decode(as_dicom(chest.astype(f"{'i' if is_signed else 'u'}2"), **given)).pixels

    chest[7, 9] = chest[30, 40] = outlier - 2048 * is_signed
    hot = decode(as_dicom(chest.astype(f"{'i' if is_signed else 'u'}2"), **given)).pixels

    differs = np.argwhere(hot != clean).tolist()
    assert differs in ([[7, 9], [30, 40]], [[7, 9]], [[30, 40]])


def test_a_value_of_more_than_one_pixel_in_a_thousand_is_no_dead_pixel() -> None:
    chest = synthetic_radiograph(60, 80).astype(np.uint16) * 4
    chest[:2, :3] = 4095

    pixels = decode(as_dicom(chest, BitsStored=12)).pixels

    assert pixels[5:].max() < 65535 * 1024 / 4095
