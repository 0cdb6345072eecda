"""From the bytes of a DICOM file to its data set, without any of the patient's attributes."""

import io
import math

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import dcmread
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from contract.cost import inflate
from contract.dicom_walk import UNDEFINED_LENGTH, DataSetClaims, walk_data_set, walk_meta
from contract.errors import CorruptImage, NoPixelData, UnsupportedFormat

_COLOURS = ("Red", "Green", "Blue")
# Nothing else is read: what is never in memory can reach no log and no answer.
_KEYWORDS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"),
    *("PresentationIntentType", "ImageType", "BodyPartExamined", "AnatomicRegionSequence"),
    *("ViewPosition", "ViewCodeSequence", "PatientOrientation", "ImageOrientationPatient"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    "PresentationLUTShape",
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in _COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in _COLOURS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in _COLOURS),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "LossyImageCompression"),
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData"),
)
_WANTED_TAGS = [Tag(keyword) for keyword in _KEYWORDS]


def read_image_data_set(data: bytes) -> FileDataset:
    """Read the attributes that matter to an image. Source: DICOM PS3.10 7.1, PS3.5 A.5."""
    if data.startswith(b"DICM"):
        data = bytes(128) + data
    claims = walk_meta(data)
    is_deflated = claims.transfer_syntax == DeflatedExplicitVRLittleEndian
    if is_deflated:
        data, claims = inflate(data, claims)
    else:
        walk_data_set(data, claims.end, claims)
    dataset = dcmread(io.BytesIO(data), force=True, specific_tags=_WANTED_TAGS)
    if is_deflated:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    _check_whole(dataset, claims, len(data))
    # What was read is copied, and a large file need not stay in memory beside it.
    dataset.buffer = None
    return dataset


def read_texts(attributes: Dataset, keyword: str) -> list[str]:
    """Read the values of an element as they stand, before pydicom may find them malformed.

    Code strings are ASCII by the Standard, and in hospitals in the character set of the file, or in
    UTF-8 whatever that says. The result: at least one that is not empty, or none.
    """
    element = attributes.get_item(keyword)
    value = None if element is None else element.value
    if isinstance(value, bytes):
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            encodings = convert_encodings(attributes.get("SpecificCharacterSet") or "ISO_IR 100")
            text = decode_bytes(value, encodings, set())
        value = text.split("\\")
    values = value if isinstance(value, (MultiValue, list)) else [value]
    texts = ["" if each is None else str(each).strip(" \0") for each in values]
    return texts if any(texts) else []


def read_numbers(attributes: Dataset, keyword: str) -> list[float | None]:
    """Read decimal strings, with a point or a comma; None stands for what is no number."""
    numbers: list[float | None] = []
    for text in read_texts(attributes, keyword):
        try:
            number = float(text.replace(",", "."))
        except ValueError:
            number = math.nan
        numbers.append(number if math.isfinite(number) else None)
    return numbers


def _check_whole(dataset: Dataset, claims: DataSetClaims, length: int) -> None:
    """Tell a file that lost its end, which pydicom overlooks, from one that never had an image."""
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise UnsupportedFormat(
            "Floating-point pixel data is not decoded here. Send whole numbers."
        )
    is_image = "PixelData" in dataset
    has_pixels = claims.native_bytes is not None or claims.fragments
    has_lost_end = not is_image and (has_pixels or claims.end != length)
    if has_lost_end or any(_is_short(element) for element in dataset.values()):
        raise CorruptImage("The DICOM file is truncated.")
    if not is_image:
        if dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            raise NoPixelData(
                "This is a DICOMDIR, the index of a medium. Send the images it lists."
            )
        # A UID that is in no dictionary could say more than the class.
        uid = UID(str(dataset.get("SOPClassUID", "")))
        kind = f"of the class {uid.name}" if uid.name != uid else "of an unknown class"
        raise NoPixelData(f"The DICOM object holds no image: it is {kind}.")


def _is_short(element: DataElement | RawDataElement) -> bool:
    """Tell whether an element has less than the length that it declares."""
    if not isinstance(element, RawDataElement) or element.length == UNDEFINED_LENGTH:
        return False
    return len(element.value or b"") < element.length
