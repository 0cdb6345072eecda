import io
import struct
import warnings
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    MPEG2MPML,
    UID,
    ComprehensiveSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from contract.errors import (
    CorruptImage,
    FrameOutOfRange,
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
META_START, PREAMBLE = 132, 128


def test_compressed_pixel_data_of_an_unnamed_syntax_is_unsupported() -> None:
    data = without_meta(as_dicom(CHEST, TransferSyntaxUID=RLELossless))

    with pytest.raises(UnsupportedTransferSyntax, match="no transfer syntax says how"):
        decode(data)


@pytest.mark.parametrize(
    ("syntax", "shown"),
    [
        (MPEG2MPML, r"MPEG2 .* \(1\.2\.840\.10008\.1\.2\.4\.100\)"),
        ("1.2.3.4", r"1\.2\.3\.4"),
        ("Doe^Jane", "that is no UID"),
    ],
)
def test_a_transfer_syntax_without_a_decoder_is_named(syntax: str, shown: str) -> None:
    with pytest.raises(UnsupportedTransferSyntax, match=shown):
        decode(with_transfer_syntax(as_dicom(CHEST), syntax))


@pytest.mark.parametrize(
    ("sop_class", "told"),
    [(ComprehensiveSRStorage, "Comprehensive SR Storage"), ("1.2.3.4.5", "of an unknown class")],
)
def test_an_object_without_an_image_is_named_by_its_known_class(sop_class: str, told: str) -> None:
    dataset = pydicom.dcmread(io.BytesIO(as_dicom(CHEST)))
    del dataset.PixelData
    dataset.SOPClassUID = sop_class
    file = io.BytesIO()
    dataset.save_as(file)

    with pytest.raises(NoPixelData, match=told):
        decode(file.getvalue())


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
        JPEGBaseline8Bit,
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


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGBaseline8Bit])
def test_a_truncated_codestream_in_a_whole_file_is_corrupt(syntax: UID, kept: float) -> None:
    whole = pydicom.dcmread(io.BytesIO(as_dicom(CHEST, TransferSyntaxUID=syntax)))
    stream = next(generate_frames(whole.PixelData, number_of_frames=1))
    cut = encapsulate([stream[: int(len(stream) * kept)]])

    with pytest.raises(CorruptImage):
        decode(as_dicom(CHEST, TransferSyntaxUID=syntax, PixelData=cut))


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("pixels", [CHEST, COLOUR], ids=["gray", "colour"])
def test_a_truncated_jpeg_is_corrupt_although_an_end_marker_closes_it(
    pixels: np.ndarray, kept: float, end: bytes
) -> None:
    jpeg = as_jpeg(pixels)
    whole, cut = encapsulate([jpeg]), encapsulate([jpeg[: int(len(jpeg) * kept)] + end])
    attributes = {"TransferSyntaxUID": JPEGExtended12Bit}

    assert decode(as_dicom(pixels, PixelData=whole, **attributes)).pixels.shape == CHEST.shape
    with pytest.raises(CorruptImage):
        decode(as_dicom(pixels, PixelData=cut, **attributes))


def test_a_damaged_file_is_corrupt() -> None:
    data = as_dicom(CHEST).replace(b"\x28\0\x10\0US\2\0", b"\x28\0\x10\0US\xff\xff")

    with pytest.raises(CorruptImage):
        decode(data)


@pytest.mark.parametrize(
    "keyword",
    [
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "BitsAllocated",
        "BitsStored",
        "PixelRepresentation",
    ],
)
def test_a_missing_attribute_is_a_mismatch(keyword: str) -> None:
    data = as_dicom(CHEST, PixelData=CHEST.tobytes(), **{keyword: None})

    with pytest.raises(PixelDataMismatch, match=r"missing"):
        decode(data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"Rows": 0},
        {"Columns": 0},
        {"Rows": 61},
        {"NumberOfFrames": -1},
        {"SamplesPerPixel": 3},
        {"SamplesPerPixel": 2},
        {"PhotometricInterpretation": "RGB"},
        {"PhotometricInterpretation": "MONOCHROME3"},
        {"BitsAllocated": 12},
        {"BitsAllocated": 16},
        {"BitsStored": 0},
        {"BitsStored": 9},
        {"BitsStored": 7, "HighBit": 5},
        {"BitsStored": 7, "HighBit": 8},
    ],
    ids=str,
)
def test_an_attribute_that_contradicts_the_pixel_data_is_a_mismatch(
    wrong: dict[str, object],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        data = as_dicom(CHEST, PixelData=CHEST.tobytes(), **wrong)

    with pytest.raises(PixelDataMismatch):
        decode(data)


def test_fewer_frames_than_the_header_says_are_a_mismatch() -> None:
    frames = np.stack([CHEST, CHEST])

    with pytest.raises(PixelDataMismatch):
        decode(as_dicom(frames, NumberOfFrames=2, PixelData=CHEST.tobytes()))


def test_a_number_that_is_none_is_a_mismatch() -> None:
    data = as_dicom(CHEST, RescaleSlope=0.25).replace(b"0.25", b"far ")

    with pytest.raises(PixelDataMismatch, match="malformed"):
        decode(data)


@pytest.mark.parametrize(
    "wrong",
    [{"PixelRepresentation": 1}, {"PlanarConfiguration": None}, {"BitsAllocated": 32}],
    ids=str,
)
def test_a_contradiction_in_colour_is_a_mismatch(wrong: dict[str, object]) -> None:
    with pytest.raises(PixelDataMismatch):
        decode(as_dicom(COLOUR, PixelData=COLOUR.tobytes(), **wrong))


@pytest.mark.parametrize("name", ["HSV", "ARGB", "CMYK", "YBR_PARTIAL_422"])
def test_an_unusual_photometric_interpretation_is_unsupported(name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=name):
        decode(as_dicom(COLOUR, PhotometricInterpretation=name))


@pytest.mark.parametrize(
    ("jpeg", "size"),
    [
        (as_jpeg(CHEST[:50]), "50 x 81 pixels of 1 samples"),
        (as_jpeg(CHEST).replace(b"\0\x3c\0\x51", b"\xff\xff\xff\xff"), "65535 x 65535"),
    ],
    ids=["smaller", "enormous"],
)
def test_a_codestream_of_another_size_than_the_header_says_is_a_mismatch(
    jpeg: bytes, size: str
) -> None:
    data = as_dicom(CHEST, TransferSyntaxUID=JPEGBaseline8Bit, PixelData=encapsulate([jpeg]))

    with pytest.raises(PixelDataMismatch, match=size):
        decode(data)


def test_samples_deeper_than_the_header_says_are_a_mismatch() -> None:
    deep = CHEST.astype(np.uint16) * 257
    whole = pydicom.dcmread(io.BytesIO(as_dicom(deep, TransferSyntaxUID=JPEG2000Lossless)))

    with pytest.raises(PixelDataMismatch, match="deeper"):
        decode(as_dicom(CHEST, TransferSyntaxUID=JPEG2000Lossless, PixelData=whole.PixelData))


def test_a_panic_of_the_rle_decoder_is_an_error_like_any_other() -> None:
    header = struct.pack("<16I", 2, 64, 66, *[0] * 13)
    overrun = encapsulate([header + b"\x81\0" * 2])
    deep = np.zeros((4, 4), dtype=np.uint16)

    with pytest.raises(CorruptImage):
        decode(as_dicom(deep, TransferSyntaxUID=RLELossless, PixelData=overrun))


def test_the_budget_is_read_from_the_header() -> None:
    data = as_dicom(CHEST)

    assert decode(data, max_pixels=4860).pixels.size == 4860
    with pytest.raises(TooManyPixels, match="60 x 81"):
        decode(data, max_pixels=4859)


def test_a_deflated_data_set_inflates_no_further_than_the_budget() -> None:
    data = as_dicom(
        np.zeros((1000, 1500), np.uint8), TransferSyntaxUID=DeflatedExplicitVRLittleEndian
    )

    assert len(data) < 4000
    assert decode(data, max_pixels=1_500_000).rows == 1000
    with pytest.raises(TooManyPixels, match="1000 x 1500"):
        decode(data, max_pixels=1000)


def test_all_frames_of_a_deflated_image_count() -> None:
    frames, more = np.zeros((10, 1000, 1000), np.uint8), {"NumberOfFrames": 1000}
    syntax = {"TransferSyntaxUID": DeflatedExplicitVRLittleEndian}

    assert decode(as_dicom(frames, NumberOfFrames=10, **syntax)).frames == 10
    with pytest.raises(TooExpensive):
        decode(as_dicom(frames, PixelData=frames.tobytes(), **more, **syntax))


def test_a_deflated_image_inflates_no_further_than_its_own_header_says() -> None:
    data = as_dicom(
        CHEST,
        PixelData=bytes(20 << 20),
        TransferSyntaxUID=DeflatedExplicitVRLittleEndian,
    )

    with pytest.raises(TooExpensive, match="larger than its header says"):
        decode(data)


def test_a_deflated_object_without_an_image_inflates_to_its_end() -> None:
    dataset = pydicom.dcmread(
        io.BytesIO(as_dicom(CHEST, TransferSyntaxUID=DeflatedExplicitVRLittleEndian))
    )
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(dataset, keyword)
    dataset.EncapsulatedDocument = bytes(2 << 20)
    file = io.BytesIO()
    dataset.save_as(file)

    with pytest.raises(NoPixelData):
        decode(file.getvalue())


def test_a_deflated_data_set_that_is_damaged_is_corrupt() -> None:
    data = bytearray(as_dicom(CHEST, TransferSyntaxUID=DeflatedExplicitVRLittleEndian))
    data[400:420] = zlib.compress(b"x" * 20)[:20].ljust(20, b"\xff")

    with pytest.raises(CorruptImage):
        decode(bytes(data))


@pytest.mark.parametrize("frame", [-1, 0, 3])
def test_a_frame_that_does_not_exist_is_out_of_range(frame: int) -> None:
    data = as_dicom(np.stack([CHEST, CHEST]), NumberOfFrames=2)

    with pytest.raises(FrameOutOfRange, match="frames 1 to 2"):
        decode(data, frame=frame)


def test_deeply_nested_sequences_are_refused_before_they_are_read() -> None:
    item = b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    nested = (b"\x40\0\x55\xa7SQ\0\0\xff\xff\xff\xff" + item) * 5000

    with pytest.raises(TooExpensive, match="sequences"):
        decode(as_dicom(CHEST)[:PREAMBLE] + b"DICM" + nested)


def test_no_patient_data_is_read() -> None:
    data = as_dicom(CHEST, PatientName="Doe^Jane", PatientID="4711", Rows=61)

    with pytest.raises(PixelDataMismatch) as caught:
        decode(data)

    assert "Doe" not in str(caught.value)
    assert "4711" not in str(caught.value)


def test_a_lossless_jpeg_without_its_frame_header_is_corrupt() -> None:
    data = as_dicom(
        CHEST, TransferSyntaxUID=JPEGLosslessSV1, PixelData=encapsulate([b"\xff\xd8\xff\xd9"])
    )

    with pytest.raises(CorruptImage):
        decode(data)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_only_foreign_errors_are_translated(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupted(_dataset: Dataset) -> None:
        raise error

    monkeypatch.setattr("contract.dicom.read_header", interrupted)

    with pytest.raises(error):
        decode(as_dicom(CHEST))
