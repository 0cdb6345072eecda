"""From the bytes of a DICOM file to its data set, without any of the patient's attributes."""

import io
import math
import zlib

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from contract.errors import CorruptImage, NoPixelData, TooManyPixels
from contract.frame import BYTES_PER_PIXEL

PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

# Nothing else is read: what is never in memory can reach no log and no answer.
_KEYWORDS = (
    *("SOPClassUID", "Modality", "BodyPartExamined", "ViewPosition"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    *("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    "PresentationLUTShape",
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in ("Red", "Green", "Blue")),
    *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
    *PIXEL_KEYWORDS,
)
_PIXEL_TAGS = frozenset(Tag(keyword) for keyword in PIXEL_KEYWORDS)
_WANTED_TAGS = tuple(Tag(keyword) for keyword in _KEYWORDS)
_META_GROUP = 0x0002
_UNDEFINED_LENGTH = 0xFFFFFFFF
_PREFIX = slice(128, 132)
# The size of the pixel data stands this early in a data set.
_HEADER_BYTES = 1 << 20
# What else a deflated data set may hold: functional groups, tables, an icon, private elements.
_OTHER_BYTES = 16 << 20
_LAST_SIZE_TAG = Tag("BitsAllocated")
_SIZES = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated")
# zlib joins its blocks in the end, and then pydicom copies the pixel data out of the data set.
_COPIES = 2


def read_image_data_set(data: bytes, max_pixels: int) -> FileDataset:
    """Read the attributes that matter to an image.

    Args:
        data: The file, with or without preamble and file meta information.
        max_pixels: The budget, from which follows how far a deflated data set may inflate.

    Raises:
        CorruptImage: The file ends before its pixel data does.
        NoPixelData: It is whole, and holds no image.
        TooManyPixels: It inflates to more than the budget allows, or than its header says.

    Source: DICOM PS3.10 7.1, PS3.5 A.5 for the deflated transfer syntax.
    """
    meta, start = _read_meta(data)
    syntax = meta.get("TransferSyntaxUID")
    if syntax == DeflatedExplicitVRLittleEndian:
        data = _inflate_image(data[start:], max_pixels)
    file = io.BytesIO(data)
    ends: dict[BaseTag, int] = {}

    def note(tag: BaseTag, _vr: str | None, length: int) -> bool:
        ends[tag] = len(data) if length == _UNDEFINED_LENGTH else file.tell() + length
        return False

    dataset = read_partial(file, note, force=True, specific_tags=list(_WANTED_TAGS))
    if syntax is not None:
        dataset.file_meta.TransferSyntaxUID = syntax
    _check_whole(dataset, ends, len(data))
    # What was read is copied, and a large file need not stay in memory beside it.
    dataset.buffer = None
    return dataset


def _read_meta(data: bytes) -> tuple[Dataset, int]:
    """Read the file meta information, and find where the data set begins.

    Source: DICOM PS3.10 7.1.
    """
    file = io.BytesIO(data)
    file.seek(_PREFIX.stop if data[_PREFIX] == b"DICM" else 0)
    meta = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != _META_GROUP,
    )
    return meta, file.tell()


def _inflate_image(deflated: bytes, max_pixels: int) -> bytes:
    """Inflate a data set as far as its own header says, if the budget allows for that."""
    head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, _HEADER_BYTES)
    pixel_bytes = _pixel_bytes(head) if len(head) == _HEADER_BYTES else 0
    if _COPIES * pixel_bytes > BYTES_PER_PIXEL * max_pixels:
        raise TooManyPixels("The deflated DICOM image is larger than the pixel limit allows.")
    return _inflate(deflated, pixel_bytes + _OTHER_BYTES)


def _pixel_bytes(head: bytes) -> int:
    """Work out the length of the pixel data, all frames; 0 where the header does not say it."""
    dataset = read_partial(
        io.BytesIO(head),
        lambda tag, _vr, _length: tag > _LAST_SIZE_TAG,
        force=True,
        specific_tags=[Tag(keyword) for keyword in _SIZES],
    )
    rows, columns, frames, samples, bits = (dataset.get(keyword) or 1 for keyword in _SIZES)
    values = math.prod((rows, columns, frames, samples)) if "Rows" in dataset else 0
    return max(0, values) * bits // 8


def _inflate(deflated: bytes, limit: int) -> bytes:
    """Inflate no further than the limit; a few kilobytes can inflate to gigabytes."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(deflated, limit)
    if inflater.unconsumed_tail:
        raise TooManyPixels("The deflated DICOM data set is larger than its header says.")
    if not inflater.eof:
        raise CorruptImage("The deflated DICOM data set is truncated.")
    return inflated


def _check_whole(dataset: Dataset, ends: dict[BaseTag, int], length: int) -> None:
    """Tell a file that lost its end from one that never had an image.

    pydicom takes the end of the file for the end of the data set, wherever it comes. ``ends`` has
    where each element ends, in their order, as they say themselves.
    """
    is_image = any(keyword in dataset for keyword in PIXEL_KEYWORDS)
    is_short = any(_is_short(element) for element in dataset.values())
    has_lost_pixels = not is_image and not _PIXEL_TAGS.isdisjoint(ends)
    has_lost_end = not is_image and [*ends.values()][-1:] != [length]
    if is_short or has_lost_pixels or has_lost_end:
        raise CorruptImage("The DICOM file is truncated.")
    if not is_image:
        raise NoPixelData(f"The DICOM object holds no image: it is {_kind(dataset)}.")


def _is_short(element: DataElement | RawDataElement) -> bool:
    """Tell whether an element has less than the length that it declares."""
    if not isinstance(element, RawDataElement) or element.length == _UNDEFINED_LENGTH:
        return False
    return len(element.value or b"") < element.length


def _kind(dataset: Dataset) -> str:
    """Name the SOP class; a UID that is in no dictionary could say more than the class."""
    uid = UID(str(dataset.get("SOPClassUID", "")))
    return f"of the class {uid.name}" if uid.name != uid else "of an unknown class"
