from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from contract.errors import ContractError, CorruptImage, NoPixelData, PixelDataMismatch
from contract.pixels import GrayPixels
from contract.radiograph import decode
from tests.contract.reference import Shares, reference_grays
from tests.odd_files import as_lut_item, as_palette
from tests.synthetic import as_dicom, synthetic_radiograph

CHEST = synthetic_radiograph(72, 96, opacity=0.7)
DEEP = CHEST.astype(np.uint16) * 16 + np.arange(96, dtype=np.uint16) % 16
SIGNED = DEEP.astype(np.int16) - 1024
COLOUR = np.stack([CHEST, CHEST // 2, 255 - CHEST], axis=-1)
DEEP_COLOUR = COLOUR.astype(np.uint16) * 16
PLANES = np.ascontiguousarray(np.moveaxis(COLOUR, -1, 0))
# Faint enough to stay within the cube of RGB, where no decoder has to clip it.
YBR = np.stack([CHEST // 2 + 50, 120 + CHEST // 16, 136 - CHEST // 16], axis=-1)
SUBSAMPLED = np.stack([YBR[:, ::2, 0], YBR[:, 1::2, 0], YBR[:, ::2, 1], YBR[:, ::2, 2]], axis=-1)
TWELVE = {"BitsStored": 12}
WINDOW = {"WindowCenter": 1500.0, "WindowWidth": 2500.0}
RESCALE = {"RescaleSlope": 0.5, "RescaleIntercept": -300.0}
MODALITY_TABLE = as_lut_item(first=100, entries=[5 * i for i in range(3000)], bits=16)
VOI_TABLE = as_lut_item(first=200, entries=[1023 - i // 3 for i in range(3000)], bits=10)
PALETTE = as_palette([(257 * i, 257 * (255 - i), 65535) for i in range(256)], 16)

# What the matrix of kinds does not have: depths, windows, signs, encodings and inversion are there.
KINDS: dict[str, bytes] = {
    "rescale, 8 bit": as_dicom(CHEST, **RESCALE),
    "window LINEAR_EXACT": as_dicom(DEEP, VOILUTFunction="LINEAR_EXACT", **WINDOW),
    "window SIGMOID": as_dicom(DEEP, VOILUTFunction="SIGMOID", **WINDOW),
    "window of width 1": as_dicom(DEEP, WindowCenter=1500, WindowWidth=1),
    "several windows": as_dicom(DEEP, WindowCenter=[1500.0, 9.0], WindowWidth=[2500.0, 2.0]),
    "modality table": as_dicom(DEEP, **TWELVE, ModalityLUTSequence=[MODALITY_TABLE]),
    "VOI table": as_dicom(DEEP, **TWELVE, VOILUTSequence=[VOI_TABLE]),
    "modality table, VOI table": as_dicom(
        DEEP, **TWELVE, ModalityLUTSequence=[MODALITY_TABLE], VOILUTSequence=[VOI_TABLE]
    ),
    "MONOCHROME1, VOI table": as_dicom(
        DEEP, PhotometricInterpretation="MONOCHROME1", **TWELVE, VOILUTSequence=[VOI_TABLE]
    ),
    "padding": as_dicom(DEEP, PixelPaddingValue=int(DEEP[0, 0])),
    "padding, range": as_dicom(DEEP, PixelPaddingValue=0, PixelPaddingRangeLimit=400, **WINDOW),
    "padding, MONOCHROME1": as_dicom(
        DEEP, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=int(DEEP.max())
    ),
    "CT": as_dicom(DEEP, Modality="CT", RescaleSlope=1.0, RescaleIntercept=-1024.0, **WINDOW),
    "palette colour": as_dicom(CHEST, **PALETTE),
    "palette colour, 8 bit": as_dicom(
        CHEST, **as_palette([(i, 255 - i, 99) for i in range(256)], 8)
    ),
    "RGB, by pixel": as_dicom(COLOUR),
    "RGB, by plane": as_dicom(COLOUR, PlanarConfiguration=1, PixelData=PLANES.tobytes()),
    "RGB, 12 bit": as_dicom(DEEP_COLOUR, **TWELVE),
    "YBR_FULL": as_dicom(YBR, PhotometricInterpretation="YBR_FULL"),
    "YBR_FULL_422": as_dicom(
        YBR, PhotometricInterpretation="YBR_FULL_422", PixelData=SUBSAMPLED.tobytes()
    ),
    "implicit, signed padding": as_dicom(
        SIGNED, TransferSyntaxUID=ImplicitVRLittleEndian, PixelPaddingValue=int(SIGNED.min())
    ),
    "RLE, RGB": as_dicom(COLOUR, TransferSyntaxUID=RLELossless),
    "RLE, palette colour": as_dicom(CHEST, TransferSyntaxUID=RLELossless, **PALETTE),
    "JPEG 2000, RGB": as_dicom(COLOUR, TransferSyntaxUID=JPEG2000Lossless),
    "JPEG 2000, YBR_RCT": as_dicom(
        COLOUR, PhotometricInterpretation="YBR_RCT", TransferSyntaxUID=JPEG2000Lossless
    ),
    "1 bit": as_dicom(
        CHEST,
        BitsAllocated=1,
        BitsStored=1,
        PixelData=np.packbits(CHEST > 100, bitorder="little").tobytes(),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_dicom_has_the_grays_of_the_standard(kind: str) -> None:
    pixels = decode(KINDS[kind]).pixels

    # Colour goes through integers twice: from YBR to RGB, and to luma in fixed point.
    tolerance = 1.2 if "colour" in kind or "RGB" in kind or "YBR" in kind else 0.51
    assert largest_error(pixels, reference_grays(KINDS[kind])) <= tolerance


@pytest.mark.parametrize("syntax", [None, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize("low_bits", [1, 3, 4])
@pytest.mark.parametrize("values", [DEEP, SIGNED // 2, DEEP_COLOUR], ids=["", "signed", "colour"])
def test_values_above_the_lowest_bits_of_their_cells_have_the_same_grays(
    values: NDArray[np.uint16 | np.int16], low_bits: int, syntax: str | None
) -> None:
    encoding = {"TransferSyntaxUID": syntax} if syntax else {}
    cells = (values << low_bits) | 1
    data = as_dicom(cells, **TWELVE, HighBit=11 + low_bits, **encoding)

    expected = reference_grays(as_dicom(values, **TWELVE))
    assert largest_error(decode(data).pixels, expected) <= (1.2 if values.ndim == 3 else 0.51)


def test_a_codestream_is_right_justified_whatever_its_high_bit_says() -> None:
    data = as_dicom(DEEP, TransferSyntaxUID=JPEG2000Lossless, **TWELVE, HighBit=15)

    assert largest_error(decode(data).pixels, reference_grays(as_dicom(DEEP, **TWELVE))) <= 0.51


@pytest.mark.parametrize(("name", "pixels"), [("YBR_FULL_422", COLOUR), ("MONOCHROME2", CHEST)])
def test_jpeg_baseline_has_the_grays_of_another_decoder(name: str, pixels: GrayPixels) -> None:
    data = as_dicom(pixels, TransferSyntaxUID=JPEGBaseline8Bit, PhotometricInterpretation=name)

    # Decoders of JPEG may differ by one; RGB that leaves its cube is clipped, luma is not.
    assert largest_error(decode(data).pixels, reference_grays(data)) <= 3


@pytest.mark.parametrize("frame", [1, 2, 3])
@pytest.mark.parametrize("syntax", [None, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless])
def test_each_frame_has_its_own_grays(syntax: str | None, frame: int) -> None:
    encoding = {"TransferSyntaxUID": syntax} if syntax else {}
    frames = np.stack([DEEP, DEEP[::-1], DEEP // 2])
    data = as_dicom(frames, NumberOfFrames=3, **TWELVE, **encoding)

    radiograph = decode(data, frame=frame)

    assert (radiograph.frame, radiograph.frames) == (frame, 3)
    assert largest_error(radiograph.pixels, reference_grays(data, frame)) <= 0.51


def largest_error(pixels: GrayPixels, shares: Shares) -> float:
    """The largest difference, in grays of the decoded depth."""
    return float(np.abs(pixels - shares * np.iinfo(pixels.dtype).max).max())


@dataclass(frozen=True)
class Picture:
    """What pydicom makes of a file: its size, and two figures of its grays in 255ths."""

    rows: int
    columns: int
    frames: int
    mean: float
    centre: float
    tolerance: float = 0.51


# Two decoders of JPEG differ by one gray; the luma of RGB that was clipped by six and a half.
JPEG, CLIPPED = 1.01, 6.5
CT_693 = Picture(512, 512, 1, 107.47, 233.74)
CT_693_LOSSY = Picture(512, 512, 1, 107.96, 235.1)
CT_SMALL = Picture(128, 128, 1, 204.56, 255.0)
MR_SMALL = Picture(64, 64, 1, 113.06, 60.92)
MR_ENHANCED = Picture(64, 64, 10, 86.57, 66.0)
RGB_FRAMES = Picture(100, 100, 2, 127.7, 142.48)
EXPECTED: dict[str, Picture | type[ContractError]] = {
    "1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm": Picture(
        1024, 1024, 1, 160.43, 208.0, JPEG
    ),
    "693_J2KI.dcm": CT_693_LOSSY,
    "693_J2KR.dcm": CT_693,
    "693_UNCI.dcm": CT_693_LOSSY,
    "693_UNCR.dcm": CT_693,
    "CTImageStorage.dcm": CT_SMALL,
    "CT_small.dcm": CT_SMALL,
    "J2K_pixelrep_mismatch.dcm": Picture(512, 512, 1, 132.93, 234.25),
    "JLSL_16_15_1_1F.dcm": Picture(128, 128, 1, 96.04, 222.49),
    "JPEG2000.dcm": Picture(1024, 256, 1, 40.3, 34.31),
    "JPGLosslessP14SV1_1s_1f_8b.dcm": Picture(768, 1024, 1, 17.38, 15.12),
    "MR_small_RLE.dcm": MR_SMALL,
    "MR_small_expb.dcm": MR_SMALL,
    "MR_small_implicit.dcm": MR_SMALL,
    "MR_small_padded.dcm": MR_SMALL,
    "MR_truncated.dcm": CorruptImage,
    "OBXXXX1A_rle.dcm": Picture(600, 800, 1, 11.8, 1.0),
    "RG3_J2KI.dcm": Picture(1760, 1760, 1, 177.5, 188.2),
    "SC_rgb_2frame.dcm": RGB_FRAMES,
    "SC_rgb_jpeg_gdcm.dcm": Picture(100, 100, 1, 127.7, 142.48),
    "SC_rgb_rle_2frame.dcm": RGB_FRAMES,
    "dx_image.dcm": Picture(169, 211, 1, 89.17, 80.0),
    "emri_small_RLE.dcm": MR_ENHANCED,
    "emri_small_big_endian.dcm": MR_ENHANCED,
    "emri_small_jpeg_2k_lossless.dcm": MR_ENHANCED,
    "examples_palette.dcm": Picture(350, 800, 1, 19.39, 1.0),
    "examples_ybr_color.dcm": Picture(240, 320, 30, 9.46, 7.0, CLIPPED),
    "image_dfl.dcm": Picture(512, 512, 1, 127.12, 65.0),
    "meta_missing_tsyntax.dcm": PixelDataMismatch,
    "mlut_18.dcm": Picture(512, 512, 1, 129.09, 122.36),
    "rtplan.dcm": NoPixelData,
    "test-SR.dcm": NoPixelData,
}
PICTURES = {name: found for name, found in EXPECTED.items() if isinstance(found, Picture)}
ERRORS = {name: found for name, found in EXPECTED.items() if not isinstance(found, Picture)}


@pytest.mark.data
def test_every_dicom_file_is_expected_to_give_something(data_dir: Path) -> None:
    assert {file.name for file in (data_dir / "dicom").iterdir()} == set(EXPECTED)


@pytest.mark.data
@pytest.mark.parametrize("name", PICTURES)
def test_a_real_dicom_file_has_the_grays_of_pydicom_their_known_mean_and_centre(
    data_dir: Path, name: str
) -> None:
    data, expected = (data_dir / "dicom" / name).read_bytes(), PICTURES[name]
    frames = {frame: decode(data, frame=frame) for frame in (1, expected.frames)}

    for frame, radiograph in frames.items():
        # The reference knows nothing of how the patient lay.
        pixels = radiograph.turned.undo(radiograph.pixels)

        assert (radiograph.rows, radiograph.columns) == (expected.rows, expected.columns)
        assert radiograph.frames == expected.frames
        assert largest_error(pixels, reference_grays(data, frame)) <= expected.tolerance
    grays = frames[1].pixels / np.iinfo(frames[1].pixels.dtype).max * 255
    assert grays.mean() == pytest.approx(expected.mean, abs=0.2)
    assert grays[expected.rows // 2, expected.columns // 2] == pytest.approx(
        expected.centre, abs=1.01
    )


@pytest.mark.data
@pytest.mark.parametrize("name", ERRORS)
def test_a_real_dicom_file_without_a_picture_has_its_error(data_dir: Path, name: str) -> None:
    with pytest.raises(ERRORS[name]):
        decode((data_dir / "dicom" / name).read_bytes())
