import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from contract.errors import PixelDataMismatch, UnsupportedFormat
from contract.lookup_tables import read_lookup_table
from contract.radiograph import decode
from tests.odd_files import as_lut_item, as_palette
from tests.synthetic import as_dicom

INDEX = np.array([[0, 1, 2]], dtype=np.uint8)
COLOURS = [(255, 0, 0), (0, 255, 0), (255, 255, 255)]


def test_values_outside_a_table_take_its_nearest_entry() -> None:
    item = as_lut_item(first=10, entries=[5, 6, 7], bits=8)

    table = read_lookup_table(item, is_little_endian=True, is_signed=False)

    assert table.look_up(np.array([-1, 9, 10, 11.4, 12, 99])).tolist() == [5, 5, 5, 6, 7, 7]


def test_zero_entries_mean_65536() -> None:
    item = as_lut_item(first=0, entries=range(1 << 16), bits=16)

    table = read_lookup_table(item, is_little_endian=True, is_signed=False)

    assert item.LUTDescriptor[0] == 0
    assert len(table.entries) == 65536


def test_two_entries_of_8_bits_may_share_a_word() -> None:
    item = as_lut_item(first=0, entries=[0x0201, 0x0003], bits=8)
    item.LUTDescriptor[0] = 3

    table = read_lookup_table(item, is_little_endian=True, is_signed=False)

    assert table.entries.tolist() == [1, 2, 3]


def test_an_unsigned_first_value_is_negative_where_the_pixels_are_signed() -> None:
    item = as_lut_item(first=0xFFFE, entries=[1, 2], bits=8)

    table = read_lookup_table(item, is_little_endian=True, is_signed=True)

    assert table.first == -2


@pytest.mark.parametrize("written", [8, 10, 12, 16])
@pytest.mark.parametrize("deepest", [(255, 8), (1000, 10), (4095, 12), (65535, 16)])
def test_entries_are_shares_of_their_own_depth(written: int, deepest: tuple[int, int]) -> None:
    largest, bits = deepest
    item = as_lut_item(first=0, entries=[0, largest], bits=written)

    table = read_lookup_table(item, is_little_endian=True, is_signed=False)

    assert table.shares(np.array([0, 1])).tolist() == [0, largest / (2**bits - 1)]


@pytest.mark.parametrize(("count", "bits"), [(3, 8), (2, 0), (2, 17)])
def test_a_table_that_contradicts_its_descriptor_is_a_mismatch(count: int, bits: int) -> None:
    item = as_lut_item(first=0, entries=[1, 2], bits=bits)
    item.LUTDescriptor[0] = count if bits else 2
    item.LUTData = [1] if count == 3 else [1, 2]

    with pytest.raises(PixelDataMismatch, match="shorter or deeper"):
        read_lookup_table(item, is_little_endian=True, is_signed=False)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_becomes_the_luma_of_its_colours(bits: int) -> None:
    scale = 257 if bits == 16 else 1
    palette = as_palette([tuple(scale * sample for sample in colour) for colour in COLOURS], bits)

    pixels = decode(as_dicom(INDEX, **palette)).pixels

    assert pixels.dtype == f"uint{bits}"
    assert (pixels // scale).tolist() == [[76, 149 if bits == 16 else 150, 255]]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_palette_is_read_in_each_encoding(syntax: str) -> None:
    palette = as_palette([tuple(257 * sample for sample in colour) for colour in COLOURS], 16)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    for colour in ("Red", "Green", "Blue"):
        keyword = f"{colour}PaletteColorLookupTableData"
        words = np.frombuffer(palette[keyword], "<u2")  # type: ignore[call-overload]
        palette[keyword] = words.astype(f"{order}u2").tobytes()

    pixels = decode(as_dicom(INDEX, TransferSyntaxUID=syntax, **palette)).pixels

    assert pixels[0, 2] == 65535


def test_an_index_outside_the_palette_takes_its_nearest_colour() -> None:
    palette = as_palette(COLOURS, 8, first=100)

    pixels = decode(as_dicom(np.array([[0, 101, 250]], dtype=np.uint8), **palette)).pixels

    assert pixels.tolist() == [[76, 150, 255]]


def test_a_palette_whose_tables_differ_is_a_mismatch() -> None:
    palette = as_palette(COLOURS, 8)
    palette["RedPaletteColorLookupTableDescriptor"] = [2, 0, 8]

    with pytest.raises(PixelDataMismatch, match="do not match"):
        decode(as_dicom(INDEX, **palette))


def test_an_image_without_its_palette_is_a_mismatch() -> None:
    with pytest.raises(PixelDataMismatch, match="malformed"):
        decode(as_dicom(INDEX, PhotometricInterpretation="PALETTE COLOR"))


def test_a_segmented_palette_is_unsupported() -> None:
    palette = as_palette(COLOURS, 16)
    for colour in ("Red", "Green", "Blue"):
        data = palette.pop(f"{colour}PaletteColorLookupTableData")
        palette[f"Segmented{colour}PaletteColorLookupTableData"] = data

    with pytest.raises(UnsupportedFormat, match="segmented"):
        decode(as_dicom(INDEX, **palette))
