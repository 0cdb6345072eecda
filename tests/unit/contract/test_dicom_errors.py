import io
import struct
import warnings
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    MPEG2MPML,
    UID,
    ComprehensiveSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from contract.errors import (
    CorruptImage,
    ImageError,
    NoPixelData,
    PixelDataMismatch,
    TooExpensive,
    TooManyPixels,
    UnsupportedFormat,
    UnsupportedTransferSyntax,
)
from contract.radiograph import decode
from tests.odd_files import with_transfer_syntax, without_meta
from tests.synthetic import as_dicom, as_jpeg, synthetic_radiograph

CHEST = synthetic_radiograph(60, 81)
COLOUR = np.stack([CHEST, CHEST // 2, 255 - CHEST], axis=-1)
PREAMBLE = 128
NESTED = b"\x40\0\x55\xa7SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
DEFLATED = {"TransferSyntaxUID": DeflatedExplicitVRLittleEndian}
DEEP = as_dicom(CHEST.astype(np.uint16) * 257, TransferSyntaxUID=JPEG2000Lossless)
DEEP_CODESTREAM = pydicom.dcmread(io.BytesIO(DEEP)).PixelData
RLE_OVERRUN = struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x81\0" * 2


def native(pixels: np.ndarray, **wrong: object) -> bytes:
    with warnings.catch_warnings():
        # pydicom's writer notices some of what is wrong.
        warnings.simplefilter("ignore", UserWarning)
        return as_dicom(pixels, PixelData=pixels.tobytes(), **wrong)


def with_codestream(pixels: np.ndarray, syntax: UID, codestream: bytes) -> bytes:
    return as_dicom(pixels, TransferSyntaxUID=syntax, PixelData=[codestream])


def with_damage(data: bytes, at: int, damage: bytes) -> bytes:
    return data[:at] + damage + data[at + len(damage) :]


# What is wrong with a file, and what is said of it.
WRONG: dict[str, tuple[bytes, type[ImageError], str]] = {
    "compressed, and no syntax": (
        without_meta(as_dicom(CHEST, TransferSyntaxUID=RLELossless)),
        *(UnsupportedTransferSyntax, "no transfer syntax says how"),
    ),
    "a syntax without a decoder": (
        with_transfer_syntax(as_dicom(CHEST), MPEG2MPML),
        *(UnsupportedTransferSyntax, r"MPEG2 .* \(1\.2\.840\.10008\.1\.2\.4\.100\)"),
    ),
    "a syntax that is no UID": (
        with_transfer_syntax(as_dicom(CHEST), "Doe^Jane"),
        *(UnsupportedTransferSyntax, "that is no UID"),
    ),
    "a length beyond the end": (
        as_dicom(CHEST).replace(b"\x28\0\x10\0US\2\0", b"\x28\0\x10\0US\xff\xff"),
        *(CorruptImage, "truncated"),
    ),
    "a frame less": (
        as_dicom(np.stack([CHEST, CHEST]), NumberOfFrames=2, PixelData=CHEST.tobytes()),
        *(PixelDataMismatch, "does not agree"),
    ),
    "a number that is none": (
        as_dicom(CHEST, RescaleSlope=0.25).replace(b"0.25", b"far "),
        *(PixelDataMismatch, "malformed"),
    ),
    "signed colour": (
        native(COLOUR, PixelRepresentation=1),
        *(PixelDataMismatch, "cannot be signed"),
    ),
    "colour without its arrangement": (
        native(COLOUR, PlanarConfiguration=None),
        *(PixelDataMismatch, "does not agree"),
    ),
    "colour of 32 bits": (
        native(COLOUR, BitsAllocated=32),
        *(PixelDataMismatch, "32 bits allocated"),
    ),
    **{
        name: (as_dicom(COLOUR, PhotometricInterpretation=name), UnsupportedFormat, name)
        for name in ("HSV", "ARGB", "CMYK", "YBR_PARTIAL_422")
    },
    **{
        f"no {keyword}": (native(CHEST, **{keyword: None}), PixelDataMismatch, "missing")
        for keyword in (
            *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
            *("BitsAllocated", "BitsStored", "PixelRepresentation"),
        )
    },
    **{
        f"what contradicts the pixel data: {wrong}": (
            *(native(CHEST, **wrong), PixelDataMismatch, words),
        )
        for words, wrong in (
            ("below 1", {"Rows": 0}),
            ("below 1", {"Columns": 0}),
            ("below 1", {"NumberOfFrames": -1}),
            ("does not agree", {"Rows": 61}),
            ("does not agree", {"BitsAllocated": 16}),
            ("does not have 3 samples", {"SamplesPerPixel": 3}),
            ("does not have 2 samples", {"SamplesPerPixel": 2}),
            ("does not have 1 samples", {"PhotometricInterpretation": "RGB"}),
            ("unknown", {"PhotometricInterpretation": "MONOCHROME3"}),
            ("12 bits allocated", {"BitsAllocated": 12}),
            ("do not fit", {"BitsStored": 0}),
            ("do not fit", {"BitsStored": 9}),
            ("below the high bit 5", {"BitsStored": 7, "HighBit": 5}),
            ("below the high bit 8", {"BitsStored": 7, "HighBit": 8}),
        )
    },
    "a codestream of fewer rows": (
        with_codestream(CHEST, JPEGBaseline8Bit, as_jpeg(CHEST[:50])),
        *(PixelDataMismatch, "50 x 81 pixels of 1 samples"),
    ),
    "an enormous codestream": (
        with_codestream(
            CHEST, JPEGBaseline8Bit, as_jpeg(CHEST).replace(b"\0\x3c\0\x51", b"\xff\xff\xff\xff")
        ),
        *(PixelDataMismatch, "65535 x 65535"),
    ),
    "more frames than an integer string may say": (
        as_dicom(
            CHEST,
            TransferSyntaxUID=JPEGBaseline8Bit,
            PixelData=[as_jpeg(CHEST)],
            NumberOfFrames="+001",
        ).replace(b"+001", b"1E20"),
        *(PixelDataMismatch, "Number of Frames"),
    ),
    "samples deeper than their cells": (
        as_dicom(CHEST, TransferSyntaxUID=JPEG2000Lossless, PixelData=DEEP_CODESTREAM),
        *(PixelDataMismatch, "deeper"),
    ),
    # The decoder panics.
    "a run beyond its segment": (
        with_codestream(np.zeros((4, 4), np.uint16), RLELossless, RLE_OVERRUN),
        *(CorruptImage, "truncated or damaged"),
    ),
    "a JPEG without its frame header": (
        with_codestream(CHEST, JPEGLosslessSV1, b"\xff\xd8\xff\xd9"),
        *(CorruptImage, "truncated or damaged"),
    ),
    "deflated pixels beyond their header": (
        as_dicom(CHEST, PixelData=bytes(20 << 20), **DEFLATED),
        *(TooExpensive, "larger than its header says"),
    ),
    "a damaged deflated data set": (
        with_damage(as_dicom(CHEST, **DEFLATED), 400, zlib.compress(b"x" * 20)[:20]),
        *(CorruptImage, "deflated"),
    ),
    "deeply nested sequences": (
        as_dicom(CHEST)[:PREAMBLE] + b"DICM" + NESTED * 5000,
        *(TooExpensive, "sequences"),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_file_is_told(case: str) -> None:
    data, error, words = WRONG[case]

    with pytest.raises(error, match=words):
        decode(data)


def without_an_image(data: bytes, **attributes: object) -> bytes:
    """Take the pixels out, and leave what describes them."""
    dataset, file = pydicom.dcmread(io.BytesIO(data)), io.BytesIO()
    del dataset.PixelData
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("sop_class", "told"),
    [(ComprehensiveSRStorage, "Comprehensive SR Storage"), ("1.2.3.4.5", "of an unknown class")],
)
def test_an_object_without_an_image_is_named_by_its_known_class(sop_class: str, told: str) -> None:
    with pytest.raises(NoPixelData, match=told):
        decode(without_an_image(as_dicom(CHEST), SOPClassUID=sop_class))


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(
    "syntax",
    [
        *(ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian),
        *(RLELossless, JPEG2000Lossless, JPEGBaseline8Bit),
    ],
)
def test_a_truncated_dicom_file_is_corrupt(syntax: UID, kept: float) -> None:
    data = as_dicom(CHEST, TransferSyntaxUID=syntax)

    with pytest.raises(CorruptImage):
        decode(data[: int(len(data) * kept) - 8])


def test_a_file_cut_before_its_pixel_data_is_corrupt() -> None:
    data = as_dicom(CHEST)
    pixel_data = data.index(b"\xe0\x7f\x10\0")

    for end in (pixel_data - 3, pixel_data + 4, pixel_data + 10):
        with pytest.raises(CorruptImage):
            decode(data[:end])


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95, 0.99])
@pytest.mark.parametrize(
    ("pixels", "syntax"),
    [
        (CHEST, RLELossless),
        (CHEST, JPEG2000Lossless),
        (CHEST, JPEGBaseline8Bit),
        (COLOUR, JPEGBaseline8Bit),
    ],
)
def test_a_truncated_codestream_is_corrupt_although_an_end_marker_closes_it(
    pixels: np.ndarray, syntax: UID, kept: float, end: bytes
) -> None:
    whole = pydicom.dcmread(io.BytesIO(as_dicom(pixels, TransferSyntaxUID=syntax)))
    stream = next(generate_frames(whole.PixelData, number_of_frames=1))

    with pytest.raises(CorruptImage):
        decode(with_codestream(pixels, syntax, stream[: int(len(stream) * kept)] + end))


def test_a_deflated_data_set_inflates_no_further_than_the_budget() -> None:
    data = as_dicom(np.zeros((1000, 1500), np.uint8), **DEFLATED)

    assert len(data) < 4000
    assert decode(data, max_pixels=1_500_000).rows == 1000
    with pytest.raises(TooManyPixels, match="1000 x 1500"):
        decode(data, max_pixels=1000)


def test_all_frames_of_a_deflated_image_count() -> None:
    frames = np.zeros((10, 1000, 1000), np.uint8)

    assert decode(as_dicom(frames, NumberOfFrames=10, **DEFLATED)).frames == 10
    with pytest.raises(TooExpensive):
        decode(native(frames, NumberOfFrames=1000, **DEFLATED))


def test_a_deflated_object_without_an_image_inflates_to_its_end() -> None:
    document = {"EncapsulatedDocument": bytes(2 << 20)}

    with pytest.raises(NoPixelData):
        decode(without_an_image(as_dicom(CHEST, **DEFLATED), **document))


def test_no_patient_data_is_read() -> None:
    data = as_dicom(CHEST, PatientName="Doe^Jane", PatientID="4711", Rows=61)

    with pytest.raises(PixelDataMismatch) as caught:
        decode(data)

    assert "Doe" not in str(caught.value)
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_only_foreign_errors_are_translated(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupted(_dataset: Dataset) -> None:
        raise error

    monkeypatch.setattr("contract.dicom.read_header", interrupted)

    with pytest.raises(error):
        decode(as_dicom(CHEST))
