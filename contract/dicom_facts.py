"""What a DICOM image says of itself that matters to a model, and nothing that could be a name.

Code strings are often filled with free text. What is told here is therefore always a word of this
file, a UID, or a body part that is a single plain code.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from contract.dicom_file import read_numbers, read_texts
from contract.dicom_header import MONOCHROME, ImageHeader
from contract.grayscale import other_unit_from
from contract.pixels import UPRIGHT, Turn

# Stands for a value that is given and is none of the Standard's; no model takes it.
OTHER = "OTHER"
LATERAL, OBLIQUE = "LATERAL", "OBLIQUE"
CHEST = "CHEST"
# Projection radiography, where a view from the side is another picture than the one from the front.
RADIOGRAPHY = frozenset({"CR", "DX", "RF", "RG"})

# Source: DICOM PS3.3 C.7.3.1.1.1: of its terms, those of images and of what comes beside them.
_MODALITIES = (
    "BI BMD CR CT DG DX ECG ES GM HD IO IVOCT IVUS KO LS MG MR NM OCT OP OPT OT PR PT PX REG RF RG "
    "RTDOSE RTIMAGE RTPLAN RTSTRUCT SEG SM SR TG US XA XC"
)
# Terms that were retired, and DR and RX, which never were terms: the SOP class tells what is meant.
_RETIRED_MODALITIES = "AS CD CF CP CS DD DF DM DR DS EC FA FS LP MA MS OPR RX ST VF"
# Source: DICOM PS3.4 B.5, and PS3.3 A for the modality that each class demands. By what is in the
# name of the class, so that the enhanced and the legacy ones are meant, too.
_MODALITY_OF_CLASS = {
    "Computed Radiography": "CR",
    "Digital X-Ray": "DX",
    "Mammography": "MG",
    "Intra-Oral": "IO",
    "CT Image": "CT",
    "MR Image": "MR",
    "Ultrasound": "US",
    "Nuclear Medicine": "NM",
    "Positron Emission": "PT",
    "Angiographic": "XA",
    "Radiofluoroscopic": "RF",
}
# What a CT object may hold in place of a slice, as Image Type or Frame Type say: the Standard's
# LOCALIZER (PS3.3 C.8.2.1.1.1), and what devices write of projections, renderings and reports.
_NO_SLICE = frozenset(
    {
        *("LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"),
        *("MIP", "MINIP", "MAX_IP", "MIN_IP", "AVG_IP", "VRT", "VOLUME_RENDER", "SURFACE_RENDER"),
        *("DOSE_INFO", "DOSE REPORT", "SCREEN SAVE"),
    }
)
# The cosine of 37 degrees: gantries tilt by up to 30.
_LEAST_AXIAL = 0.8
# Source: DICOM PS3.3 C.8.1.3 and C.8.11.5, View Position.
_VIEW_POSITIONS = frozenset({"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO"})
# Lateral in the words of hospitals: abbreviations, then French, Italian, Spanish, Portuguese,
# German, Dutch, Polish, Czech, Slovene, Hungarian, Finnish, Vietnamese, Turkish, the Nordic
# languages, Russian, Ukrainian, Bulgarian, Greek, Chinese, Japanese, Korean, Arabic, Hebrew, Thai.
# LLAT, LATL, XTLAT, PROFILE and LEFTLATERAL are words, too; FLAT, BILAT and COLLATERAL say nothing
# of the side, nor do 双侧 and 患侧, both sides and the affected one. Without accents.
_LATERAL_WORDS = re.compile(
    r"\b(?:LL|RL|YAN|PROF|PRFL|DWARS|OLDAL\w*|SIVU\w*|NGHIENG|БОК|HBL|XTL)\b"
    r"|\b[LR]?LAT|(?<![FI])LAT\b|(?<!BI)(?<!COL)(?<!CONTRA)(?<!IPSI)(?<!UNI)LATERAL"
    r"|PROFIL|PERFIL|\b(?:SEIT|SID[AEO]|ZIJ|BOCZ?N|STRAN[SI]|БОКОВ|БОЧН|БІЧН|СТРАНИЧ)"
    r"|ЛАТЕРАЛ|ПРОФ[ИІ]Л|CROSS.?TABLE|\bX.?TABLE|SHOOT.?THROUGH|(?:DORS|VENTR)AL.?DECUB"
    r"|^(?!.*\b(?:AP|PA)\b).*HORIZONTAL BEAM|^[左右][侧側]$|[左右][侧側][位面片]"
    r"|ΠΛΑΓΙ|ΠΡΟΦΙΛ|(?<![双雙两兩両左右患健])[侧側](?![卧臥])|측[면방]|جانب|צד|צידי|פרופיל|ดานขาง"
)
# What an examination of two views names beside the lateral one, as a word or joined to it.
_FRONTAL_WORDS = re.compile(r"(?:PA|AP)(?:LAT|LATERAL)?\b|FRONT|正")
_LATERAL_VIEWS = frozenset({"LL", "RL", LATERAL})
_OBLIQUE_VIEWS = frozenset({"RLO", "LLO", OBLIQUE})
# Right and left, anterior and posterior oblique; then English, the Romance languages, German,
# Polish, Czech, Russian, Chinese and Japanese. Without accents.
_OBLIQUE_WORDS = re.compile(
    r"\b(?:[RL][AP]O|OBL)\b|OBLI[QCK]|SCHRAG|SCHUIN|SKOSN|SIKM|КОСАЯ|КОСОИ|КОСЫЕ|(?<!倾)(?<!傾)斜"
)
# A lateral decubitus is a frontal view of a patient who lies on a side; one on the back is none.
_DECUBITUS = re.compile(r"(?<!DORSAL)(?<!DORSAL.)(?<!VENTRAL)(?<!VENTRAL.)DECUB|\b[LR]LD\b")
# Source: DICOM PS3.16 CID 4010, in SNOMED CT and, as older files have it, in SNOMED-RT.
_LATERAL_CODES = (
    *("399067008", "R-102CD"),  # lateral
    *("399173006", "R-10236", "399118008", "G-5223"),  # left lateral
    *("399198007", "R-10232", "399297009", "G-5222"),  # right lateral
)
# Source: DICOM PS3.16 CID 4 and 4031 and annex L, in SNOMED CT, SNOMED-RT, FMA and RadLex.
_CHEST_CODES = (
    *("51185008", "816094009", "T-D3000", "43799004", "T-D3200"),  # thorax, thoracic cavity
    *("39607008", "T-28000", "3341006", "T-28100", "44029006", "T-28500"),  # lung, right, left
    *("9576", "7195", "RID1243", "RID1301"),  # thorax and lung of FMA and RadLex
)
# The chest and the lungs in the words of hospitals. Source: DICOM PS3.16 annex L for the English
# ones, Terminologia Anatomica (A01.1.00.014, A06.5.01.001) for the Latin ones, the values that the
# public SIIM-FISABIO-RSNA and PadChest data carry for the Spanish ones, and the SNOMED CT national
# editions (51185008, 39607008) for the others. With accents, which may be lost or garbled; a dot
# stands for what parts two words.
_CHEST_WORDS = {
    "CHEST": "CHEST CHST CXR PCXR TÓRAX PECHO PEITO POITRINE TORACE THORACIC.CAVITY "
    "CAGE.THORACIQUE CAIXA.TORACICA GABBIA.TORACICA BRUST BRUSTKORB BORSTKAS TORAKS GÖĞÜS HRUDNÍK "
    "KLATKA MELLKAS BRÖSTKORG BRYSTKASSE BRYSTKORG RINTAKEHÄ RINDKERE KRŪTINĖS KRŪTINĖ KRŪŠKURVIS "
    "DADA NGỰC PIEPT PRSNI GRUDNI KLP ΘΩΡΑΚΑΣ ΘΩΡΑΚΟΣ ГРУДНАЯ ГРУДЬ ГРУДНОИ ГРУДНА ГРУДНИ ГРЪДЕН "
    "ОГК",
    "THORAX": "THORAX THORACE THORAKS THX",
    "LUNG": "LUNGS LUNG PULMÓN PULMONES PULMÃO PULMÕES POUMONS POUMON POLMONE POLMONI LUNGEN LUNGE "
    "LONGEN PŁUCA PLÍCE AKCİĞER TÜDŐ LUNGOR LUNGER KEUHKOT PLAUŠAS PLAMANI PLUĆA PARU PHỔI "
    "ЛЕГКИЕ ЛЕГКИХ ЛЕГЕНІ ПЛУЋА БЯЛ.ДРОБ ΠΝΕΥΜΟΝΕΣ PULMO",
}
_CHEST_CHARACTERS = re.compile(r"胸|肺|흉부|가슴|폐|صدر|رئة|سینه|ریه|חזה|ריאות|ทรวงอก|ปอด|छाती")
# What devices write in one with the word for the chest.
_JOINED_BEFORE, _JOINED_AFTER = "RX|XR|CR|DX|PORT|PORTABLE", "S|PA|AP|LAT|XRAY|PORT"
# What the words stand beside where another part of the body is meant.
_NOT_CHEST = re.compile(
    r"SPINE|COLUMNA|COLONNA|COLUNA|RACHIS|WIRBEL|VERTEBR|ABDOM|\bABD\b|PELVI|\bNECK\b|\bB?WS\b"
    r"|STERNUM|\bE?STERNON?\b|WERVEL|KREGOS|\bPATER\b|HRBTEN|CHRBT|OBRATL|GERINC|OMUR|KEMI[GK]|KICM"
    r"|KRALJEZ|RYGG|STUBUR|COT SONG|XUONG|TULANG|ПОЗВОН|ГРУДИН|ГРЪБНА|ЖИВОТ|БРЮШ|ΣΠΟΝΔΥΛ"
    r"|椎|胸[骨鎖锁]|脊|腹|척추|흉추|뼈|복부|فقر|عظم|استخوان|בטן|שדר|กระดก|रीढ"
)
_BODY_PART = re.compile(r"[A-Z0-9_]{1,16}")
_UID_TEXT = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True, slots=True)
class DicomFacts:
    """The attributes of a DICOM image that matter to a model; none of them identifies a person.

    Text is upper case, None where the attribute is absent or empty, and OTHER where its value is
    none that can be told. ``modality`` is one of the Standard's terms. ``body_part`` is CHEST,
    THORAX or LUNG where that is meant, in whatever language, else a plain code. ``view_position``
    is one of the Standard's terms, LATERAL or OBLIQUE. The ``…_from`` name the attributes that said
    so; ``processing_from`` is None where the image is meant to be looked at, ``plane_from`` where
    it is an axial slice or no CT, ``unit_from`` where its values are in Hounsfield units, a picture
    already, or no CT. ``turned`` is what Patient Orientation made necessary.
    """

    modality: str | None
    body_part: str | None
    view_position: str | None
    photometric_interpretation: str
    transfer_syntax_uid: str
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    series_instance_uid: str | None = None
    study_instance_uid: str | None = None
    modality_from: str = "Modality"
    body_part_from: str = "Body Part Examined"
    view_from: str = "View Position"
    processing_from: str | None = None
    plane_from: str | None = None
    unit_from: str | None = None
    turned: Turn = UPRIGHT

    @property
    def side(self) -> str | None:
        """LATERAL or OBLIQUE, for a radiograph that is. LLD and RLD, decubitus, are frontal."""
        if self.modality not in RADIOGRAPHY:
            return None
        if self.view_position in _LATERAL_VIEWS:
            return LATERAL
        return OBLIQUE if self.view_position in _OBLIQUE_VIEWS else None


def read_facts(attributes: Dataset, header: ImageHeader) -> DicomFacts:
    """Read the facts from what holds for one frame."""
    sop_class = _uid(attributes, "SOPClassUID")
    modality, modality_from = _modality(attributes, sop_class)
    body_part, body_part_from = _region(attributes)
    view, view_from = _view(attributes, modality)
    is_frontal = modality in RADIOGRAPHY and view not in _LATERAL_VIEWS
    is_ct = modality == "CT"
    return DicomFacts(
        modality=modality,
        body_part=body_part,
        view_position=view,
        photometric_interpretation=header.photometric_interpretation,
        transfer_syntax_uid=str(header.transfer_syntax),
        sop_class_uid=sop_class,
        sop_instance_uid=_uid(attributes, "SOPInstanceUID"),
        series_instance_uid=_uid(attributes, "SeriesInstanceUID"),
        study_instance_uid=_uid(attributes, "StudyInstanceUID"),
        modality_from=modality_from,
        body_part_from=body_part_from,
        view_from=view_from,
        processing_from=_processing(attributes, sop_class),
        plane_from=_plane(attributes) if is_ct else None,
        unit_from=_unit(attributes, header) if is_ct else None,
        turned=_turn(attributes) if is_frontal else UPRIGHT,
    )


def _text(attributes: Dataset, keyword: str) -> str | None:
    """Read a value that should be one code string; several values are never one of the terms."""
    return "\\".join(read_texts(attributes, keyword)).strip("\\").upper() or None


def _codes(attributes: Dataset, keyword: str) -> Iterator[tuple[str, str]]:
    """Read the values and the meanings of a sequence of codes."""
    for item in attributes.get(keyword) or ():
        yield _text(item, "CodeValue") or "", _text(item, "CodeMeaning") or ""


def _uid(attributes: Dataset, keyword: str) -> str | None:
    """Read a UID; what is none could be anything, even a name."""
    text = _text(attributes, keyword)
    return text if text and _UID_TEXT.fullmatch(text) else None


def _modality(attributes: Dataset, sop_class: str | None) -> tuple[str | None, str]:
    """Read the modality; the SOP class says it where the attribute does not."""
    text = _text(attributes, "Modality")
    if text in _MODALITIES.split():
        return text, "Modality"
    if text is None or text in _RETIRED_MODALITIES.split():
        name = UID(sop_class or "").name
        for words, modality in _MODALITY_OF_CLASS.items():
            if words in name:
                return modality, "SOP Class UID"
    return ("DX" if text == "DR" else text and OTHER), "Modality"


def _processing(attributes: Dataset, sop_class: str | None) -> str | None:
    """Name the attribute that says that the pixels are for a program: PS3.3 C.8.11.2.1.1."""
    if "PROCESS" in (_text(attributes, "PresentationIntentType") or ""):
        return "Presentation Intent Type"
    return "SOP Class UID" if "For Processing" in UID(sop_class or "").name else None


def _plane(attributes: Dataset) -> str | None:
    """Name the attribute that says that a CT is no axial slice: PS3.3 C.8.2.1, C.7.6.2.1.1."""
    for keyword, name in (("ImageType", "Image Type"), ("FrameType", "Frame Type")):
        if not _NO_SLICE.isdisjoint(text.upper() for text in read_texts(attributes, keyword)):
            return name
    axes = read_numbers(attributes, "ImageOrientationPatient")
    if len(axes) != 6 or None in axes:
        return None
    normal = np.cross(*np.array(axes, float).reshape(2, 3))
    is_tilted = abs(normal[2]) < _LEAST_AXIAL * np.linalg.norm(normal)
    return "Image Orientation (Patient)" if is_tilted else None


def _unit(attributes: Dataset, header: ImageHeader) -> str | None:
    """Name what says that the values are of another unit; 8 bits may be a picture, of none."""
    other = other_unit_from(attributes, header)
    is_picture = header.bits_stored <= 8 or header.photometric_interpretation not in MONOCHROME
    return other if other == "Rescale Type" or not is_picture else None


def _region(attributes: Dataset) -> tuple[str | None, str]:
    """Read the part of the body; where two attributes differ, the one that is no chest counts."""
    part = _body_part(_text(attributes, "BodyPartExamined"))
    are_chest = {
        code in _CHEST_CODES or _chest_word(meaning) is not None
        for code, meaning in _codes(attributes, "AnatomicRegionSequence")
        if code or meaning
    }
    if are_chest and (part is None or False in are_chest):
        return (CHEST if all(are_chest) else OTHER), "Anatomic Region Sequence"
    return part, "Body Part Examined"


def _body_part(text: str | None) -> str | None:
    if text is None:
        return None
    chest = _chest_word(text)
    if _BODY_PART.fullmatch(text) and not chest:
        return text
    # Several values name several regions, of which the image may show another.
    return chest if chest and "\\" not in text else OTHER


def _chest_word(text: str) -> str | None:
    plain = _plain(text)
    if _NOT_CHEST.search(plain):
        return None
    for word, pattern in _CHEST_PATTERNS.items():
        if pattern.search(text) or pattern.search(plain):
            return word
    return CHEST if _CHEST_CHARACTERS.search(text) else None


def _view(attributes: Dataset, modality: str | None) -> tuple[str | None, str]:
    """Read the view; whatever says that it is lateral is believed."""
    text = _text(attributes, "ViewPosition")
    if text is not None and text not in _VIEW_POSITIONS:
        text = side_in_words(text) or OTHER
    if text in _LATERAL_VIEWS:
        return text, "View Position"
    for code, meaning in _codes(attributes, "ViewCodeSequence"):
        if side := LATERAL if code in _LATERAL_CODES else side_in_words(meaning):
            return side, "View Code Sequence"
    # An axis that runs to the front or to the back of the patient lies in no frontal image.
    if modality in RADIOGRAPHY and not {"A", "P"}.isdisjoint(_axes(attributes)):
        return LATERAL, "Patient Orientation"
    # Of an examination of two views, the text is the same on both films.
    part = (_text(attributes, "BodyPartExamined") or "").replace("_", " ")
    if text is None and side_in_words(part) == LATERAL and not _FRONTAL_WORDS.search(part):
        return LATERAL, "Body Part Examined"
    return text, "View Position"


def side_in_words(text: str) -> str | None:
    """LATERAL or OBLIQUE, where a view, in capitals, is so called in the words of hospitals."""
    plain = _plain(text).replace("_", " ")
    if _LATERAL_WORDS.search(plain) and not _DECUBITUS.search(plain):
        return LATERAL
    return OBLIQUE if _OBLIQUE_WORDS.search(plain) else None


def _axes(attributes: Dataset) -> tuple[str, str]:
    """Read to where rows and columns run: R, L, A, P, H or F. Source: PS3.3 C.7.6.1.1.1."""
    row, column, *_ = [*(_text(attributes, "PatientOrientation") or "").split("\\"), "", ""]
    return row[:1], column[:1]


def _turn(attributes: Dataset) -> Turn:
    """Find what makes the rows of a frontal image run to the left, its columns to the feet."""
    axes = _axes(attributes)
    row, column = axes if axes[0] in {"L", "R"} else axes[::-1]
    if row not in {"L", "R"} or column not in {"H", "F"}:
        return UPRIGHT
    return Turn(transposed=(row, column) != axes, rows=column == "H", columns=row == "R")


def _plain(text: str) -> str:
    """Take the accents off."""
    parts = unicodedata.normalize("NFKD", text.replace("Ł", "L").replace("Ø", "O"))
    plain = "".join(each for each in parts if not unicodedata.combining(each))
    return unicodedata.normalize("NFC", plain)


def _pattern(words: str) -> re.Pattern[str]:
    """Match any of the words, whole or joined to one that says no part of the body."""
    any_word = "|".join(map(_garbled, words.split()))
    return re.compile(
        rf"(?<![^\W\d_])(?:{_JOINED_BEFORE})?(?:{any_word})(?:{_JOINED_AFTER}){{0,2}}(?![^\W\d_])"
    )


def _garbled(word: str) -> str:
    """Match a word also where another encoding has garbled its accented letters, or lost one."""
    letters = (
        letter if _plain(letter) == letter else rf"(?:{_plain(letter)}|[^A-Z0-9\s-]{{0,3}})"
        for letter in word
    )
    least = max(4, len(word) - 1) if _plain(word) != word else 0
    return rf"(?=[^0-9\s-]{{{least}}}){''.join(letters)}"


_CHEST_PATTERNS = {word: _pattern(words) for word, words in _CHEST_WORDS.items()}
