import io
import logging
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate_extended, generate_frames
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from contract.dicom_facts import DicomFacts
from contract.errors import CorruptImage
from contract.radiograph import decode
from tests.odd_files import without_meta
from tests.synthetic import INSTANCE_UID, as_dicom, as_jpeg, synthetic_radiograph

CHEST = synthetic_radiograph(60, 81)
PREFIX_END = 132


def test_the_facts_of_a_dicom_image_are_told() -> None:
    data = as_dicom(CHEST, BodyPartExamined="CHEST", ViewPosition="PA")

    radiograph = decode(data)

    assert (radiograph.format, radiograph.rows, radiograph.columns) == ("DICOM", 60, 81)
    assert radiograph.dicom == DicomFacts(
        modality="DX",
        body_part="CHEST",
        view_position="PA",
        photometric_interpretation="MONOCHROME2",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        sop_class_uid=DigitalXRayImageStorageForPresentation,
        sop_instance_uid=INSTANCE_UID,
    )


def test_facts_that_a_file_lacks_are_none() -> None:
    facts = decode(as_dicom(CHEST, Modality=None, SOPClassUID="1.2.3")).dicom

    assert facts is not None
    assert (facts.modality, facts.body_part, facts.view_position) == (None, None, None)
    assert (facts.series_instance_uid, facts.study_instance_uid) == (None, None)


@pytest.mark.parametrize("kept", ["meta information", "data set"])
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_a_file_without_preamble_or_meta_information_is_read(syntax: UID, kept: str) -> None:
    deep, window = CHEST.astype(np.uint16) * 257, {"WindowCenter": 32768, "WindowWidth": 65536}
    data = as_dicom(deep, TransferSyntaxUID=syntax, **window)

    radiograph = decode(without_meta(data) if kept == "data set" else data[PREFIX_END:])

    assert np.array_equal(radiograph.pixels, deep)
    assert radiograph.dicom is not None
    assert radiograph.dicom.transfer_syntax_uid == syntax


def two_jpegs(pixel_data: list[bytes] | bytes, **attributes: object) -> bytes:
    jpeg = {"TransferSyntaxUID": JPEGBaseline8Bit, "PixelData": pixel_data}
    return as_dicom(np.stack([CHEST, CHEST]), NumberOfFrames=2, **jpeg, **attributes)


def test_damage_in_one_frame_leaves_the_others_readable() -> None:
    good = as_jpeg(CHEST)
    data = two_jpegs([good, good[:300]])

    assert np.array_equal(decode(data, frame=1).pixels, decode(good).pixels)
    with pytest.raises(CorruptImage):
        decode(data, frame=2)


def test_an_extended_offset_table_finds_the_frame() -> None:
    streams = [as_jpeg(CHEST), as_jpeg(CHEST[::-1])]
    pixel_data, offsets, lengths = encapsulate_extended(streams)
    table = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    data = two_jpegs(pixel_data, **table)

    assert np.array_equal(decode(data, frame=2).pixels, decode(streams[1]).pixels)


def test_an_empty_number_of_frames_means_one() -> None:
    assert decode(as_dicom(CHEST, NumberOfFrames="")).frames == 1


def test_pydicom_says_nothing_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    whole = pydicom.dcmread(io.BytesIO(as_dicom(CHEST, TransferSyntaxUID=JPEG2000Lossless)))
    stream = next(generate_frames(whole.PixelData, number_of_frames=1))
    empty = [stream[:60] + b"\xff\xd9"]
    data = as_dicom(CHEST, TransferSyntaxUID=JPEG2000Lossless, PixelData=empty)

    with caplog.at_level(logging.DEBUG, logger="root"), pytest.raises(CorruptImage):
        decode(data)

    assert caplog.records == []


def test_warnings_of_pydicom_do_not_escape() -> None:
    data = as_dicom(CHEST, PixelData=CHEST.tobytes() + b"\0" * 500)

    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        radiograph = decode(data)

    assert np.array_equal(radiograph.pixels, CHEST)
    assert raised == []
