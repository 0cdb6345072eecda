"""From a DICOM file to its attributes, without its pixels, and in bounded memory."""

import io
import math
import re
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import config as pydicom_config
from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from gateway.errors import Unacceptable

MANUFACTURER = "Pneumoscope"
MODEL_NAME = "Pneumoscope gateway"
# A deflated data set inflates a thousandfold; what stands before its pixels is small.
_MAX_INFLATED_BYTES = 8 << 20
_PREAMBLE_BYTES = 132
_UID = re.compile(r"[0-9.]{1,64}")
_PIXELS = frozenset(Tag(k) for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
_ROUTING = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"),
    *("BodyPartExamined", "ViewPosition", "ImageType", "Rows", "NumberOfFrames"),
    *("InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient"),
    *("Manufacturer", "ManufacturerModelName", "ContributingEquipmentSequence"),
)
_ROUTING_TAGS: list[BaseTag | int] = [Tag(keyword) for keyword in _ROUTING]

EXPLICIT = {"is_implicit_vr": False, "is_little_endian": True}

# The senders' mistakes are theirs: they are kept, and are no news of the gateway's log.
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE


def read_meta(file: Path) -> FileMetaDataset:
    """Read the file meta information; Unacceptable where there is none."""
    try:
        return read_file_meta_info(file)
    except Exception as error:  # pydicom raises whatever the bytes lead it to
        raise Unacceptable("It is not a DICOM file with file meta information.") from error


def read_header(file: Path, *, routing_only: bool = False) -> Dataset:
    """Read a DICOM file up to its pixels, or what rules ask for; Unacceptable where it is none."""
    meta = read_meta(file)
    offset = data_set_offset(meta)
    try:
        with file.open("rb") as opened:
            opened.seek(offset)
            dataset = _read(opened, UID(meta.TransferSyntaxUID), routing_only=routing_only)
            # pydicom converts values late; what cannot be is found here and not in the middle.
            for element in dataset:
                _ = element.value
    except Exception as error:  # pydicom raises whatever the bytes lead it to
        raise Unacceptable(f"Its header cannot be read ({type(error).__name__}).") from error
    dataset.file_meta = meta
    return dataset


def _read(opened: BinaryIO, syntax: UID, *, routing_only: bool) -> Dataset:
    source: Any = opened
    if syntax == DeflatedExplicitVRLittleEndian:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        deflated = opened.read(_MAX_INFLATED_BYTES)
        source = io.BytesIO(inflater.decompress(deflated, _MAX_INFLATED_BYTES))
    return read_dataset(
        source,
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        stop_when=lambda tag, _vr, _length: tag in _PIXELS,
        specific_tags=_ROUTING_TAGS if routing_only else None,
    )


def data_set_offset(meta: Dataset) -> int:
    """Where the data set begins; Unacceptable where the file meta information does not say it."""
    # The group length counts what follows its own twelve bytes.
    length = meta.get("FileMetaInformationGroupLength")
    if not isinstance(length, int):
        raise Unacceptable("Its file meta information does not say how long it is.")
    return _PREAMBLE_BYTES + 12 + length


def dataset(**values: object) -> Dataset:
    """A data set of these attributes; bytes are the items of a sequence, encoded as EXPLICIT."""
    made = Dataset()
    # What is encoded already is copied.
    made.set_original_encoding(**EXPLICIT, character_encoding=default_encoding)
    for keyword, value in values.items():
        if isinstance(value, bytes):
            tag = Tag(keyword)
            made[tag] = RawDataElement(tag, "SQ", len(value), value, 0, *EXPLICIT.values())
        else:
            setattr(made, keyword, value)
    return made


def is_uid(text: str) -> bool:
    """Whether it has a UID's characters and length; many break other rules (DICOM PS3.5 9.1)."""
    return bool(_UID.fullmatch(text))


def facts_of(header: Dataset) -> dict[str, Any]:
    """What rules and series need of an instance, and nothing of the patient.

    Values are upper case, empty where the attribute is; ``position`` is in mm along the normal of
    the slices, None where that is not known.
    """
    return {
        "sop_class": str(header.get("SOPClassUID") or ""),
        "study_uid": str(header.get("StudyInstanceUID") or ""),
        "modality": _text(header, "Modality"),
        "body_part": _text(header, "BodyPartExamined"),
        "view": _text(header, "ViewPosition"),
        "image_type": [str(v).strip().upper() for v in _values(header, "ImageType")],
        "frames": frames_of(header),
        "number": _number(header, "InstanceNumber"),
        "position": _position(header),
    }


def frames_of(header: Dataset) -> int:
    """How many frames an image has: 1 where it does not say, or not in a number."""
    return max(1, _number(header, "NumberOfFrames") or 1)


def is_own_result(header: Dataset) -> bool:
    """Whether this or another gateway made the object."""
    equipment = _values(header, "ContributingEquipmentSequence")
    made_by = [header, *(item for item in equipment if isinstance(item, Dataset))]
    return any(
        (item.get("Manufacturer"), item.get("ManufacturerModelName")) == (MANUFACTURER, MODEL_NAME)
        for item in made_by
    )


def _values(header: Dataset, keyword: str) -> list[Any]:
    """All values of an attribute, whether it has none, one or more."""
    value = header.get(keyword)
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, MultiValue | Sequence) else [value]


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip(" \0").upper()


def _number(header: Dataset, keyword: str) -> int | None:
    try:
        return int(header[keyword].value)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None


def _position(header: Dataset) -> float | None:
    """The place along the normal of the slice. Source: DICOM PS3.3 C.7.6.2.1.1."""
    try:
        x, y, z = (float(v) for v in header.ImagePositionPatient)
        a, b, c, d, e, f = (float(v) for v in header.ImageOrientationPatient)
    except (AttributeError, TypeError, ValueError, ArithmeticError):
        return None
    position = x * (b * f - c * e) + y * (c * d - a * f) + z * (a * e - b * d)
    return position if math.isfinite(position) else None
