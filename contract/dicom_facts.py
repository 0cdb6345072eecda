"""What a DICOM image says of itself that matters to a model, and nothing that could be a name.

Code strings are often filled with free text. What is told here is therefore always a word of this
file, or a body part that is a single plain code.
"""

import re
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from contract.dicom_header import ImageHeader

# Stands for a value that is given and is none of the Standard's; no model takes it.
OTHER = "OTHER"
LATERAL = "LATERAL"
# Source: DICOM PS3.3 C.7.3.1.1.1: of its terms, those of images and of what comes beside them.
_MODALITIES = frozenset(
    (
        *("BI", "BMD", "CR", "CT", "DG", "DX", "ECG", "ES", "GM", "HD", "IO", "IVOCT", "IVUS"),
        *("KO", "LS", "MG", "MR", "NM", "OCT", "OP", "OPT", "OT", "PR", "PT", "PX", "REG", "RF"),
        *("RG", "RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT", "SEG", "SM", "SR", "TG", "US", "XA"),
        "XC",
    )
)
# Source: DICOM PS3.3 C.8.1.3 and C.8.11.5, View Position.
_VIEW_POSITIONS = frozenset({"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO"})
_LATERAL_WORDS = frozenset({"LL", "RL", "LAT", "LATERAL"})
_CHEST_WORDS = ("CHEST", "THORAX", "LUNG")
_BODY_PART = re.compile(r"[A-Z0-9_]{1,16}")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class DicomFacts:
    """The attributes of a DICOM image that matter to a model; none of them identifies a person.

    Text is upper case, None where the attribute is absent or empty, and OTHER where its value is
    none that can be told. ``modality`` is one of the Standard's terms. ``body_part`` is CHEST,
    THORAX or LUNG where that is one of the words, else a plain code. ``view_position`` is one of
    the Standard's terms, or LATERAL where a word says so.
    """

    modality: str | None
    body_part: str | None
    view_position: str | None
    photometric_interpretation: str
    transfer_syntax_uid: str


def read_facts(attributes: Dataset, header: ImageHeader) -> DicomFacts:
    """Read the facts from what holds for one frame."""
    modality = _text(attributes, "Modality")
    return DicomFacts(
        modality=modality if modality in _MODALITIES else modality and OTHER,
        body_part=_body_part(attributes),
        view_position=_view_position(attributes),
        photometric_interpretation=header.photometric_interpretation,
        transfer_syntax_uid=str(header.transfer_syntax),
    )


def _text(attributes: Dataset, keyword: str) -> str | None:
    """Read a value that should be one code string; several values are never one of the terms."""
    value = attributes.get(keyword)
    parts = value if isinstance(value, MultiValue) else ["" if value is None else value]
    return "\\".join(str(part) for part in parts).strip(" \0\\").upper() or None


def _body_part(attributes: Dataset) -> str | None:
    text = _text(attributes, "BodyPartExamined")
    if text is None:
        return None
    chest = _chest_words(text)
    if _BODY_PART.fullmatch(text) and not chest:
        return text
    # Several values name several regions, of which the image may show another.
    return chest[0] if chest and "\\" not in text else OTHER


def _chest_words(text: str) -> list[str]:
    words = _WORD.findall(text)
    return [word for word in _CHEST_WORDS if word in words]


def _view_position(attributes: Dataset) -> str | None:
    text = _text(attributes, "ViewPosition")
    if text is None or text in _VIEW_POSITIONS:
        return text
    words = _WORD.findall(text)
    # A lateral decubitus is a frontal view of a patient who lies on a side.
    is_lateral = not _LATERAL_WORDS.isdisjoint(words)
    return LATERAL if is_lateral and not any("DECUB" in word for word in words) else OTHER
