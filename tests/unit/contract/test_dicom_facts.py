import warnings

import numpy as np
import pytest
from pydicom.dataset import Dataset

from contract.dicom_facts import DicomFacts
from contract.radiograph import decode
from tests.synthetic import as_dicom, synthetic_radiograph

CHEST = synthetic_radiograph(20, 24)


def facts_of(attributes: dict[str, object], encoding: str = "utf-8") -> DicomFacts:
    """Write attributes, and texts in any character set: a writer of valid files would refuse."""
    stand_ins = {
        key: b"Q" * (len(value.encode(encoding)) // 2 * 2 + 2)
        for key, value in attributes.items()
        if isinstance(value, str) and not value.isascii()
    }
    with warnings.catch_warnings():
        # pydicom's writer notices what is no code string.
        warnings.simplefilter("ignore", UserWarning)
        shown = attributes | {key: text.decode() for key, text in stand_ins.items()}
        data = as_dicom(CHEST, **shown)
    for key, text in stand_ins.items():
        data = data.replace(text, str(attributes[key]).encode(encoding).ljust(len(text)), 1)
    facts = decode(data).dicom
    assert facts is not None
    return facts


@pytest.mark.parametrize("value", ["", "  ", []])
def test_an_empty_value_is_none(value: object) -> None:
    keywords = ("Modality", "BodyPartExamined", "ViewPosition")

    facts = facts_of({"SOPClassUID": "1.2.3"} | dict.fromkeys(keywords, value))

    assert (facts.modality, facts.body_part, facts.view_position) == (None, None, None)


PLAIN_CODES = "KNEE CHESTABDOMEN T_SPINE CHEST_SPINE RIBS GS TD THORACIC TD12 T1D1 T12D"
BODY_PARTS = {
    **{code: code for code in PLAIN_CODES.split()},
    "CHEST": "CHEST|chest |CHEST PA|CHEST_1_VIEW|RX TORAX|tórax PA|T?RAX|T\u00c3\u201cRAX|"
    "Brustkorb|klatka piersiowa|Hrudník|GÖĞÜS|ngực|ทรวงอก|prsni koš|ОГК|TORAXPA|RXTORAX|PORTCHEST|"
    "PORTABLECHEST|CHESTS|CHESTPALAT|Brust|THORACIC CAVITY|CAGE_THORACIQUE|krūškurvis|гръден кош|"
    "грудни кош|胸部CT平扫+骨三维|قفسه سینه|G__S|G?G?S|NG?C|Göğüs|CAIXA TORÁCICA|"
    "грудная клетка|θώρακας|胸部|흉부",
    "THORAX": "Thorax ap|THX|THORAXAP",
    "LUNG": "Lung, right|PULM?N|poumons|PŁUCA|P?UCA|PH?I|T?D?|AKC??ER|Akciğer|плућа",
    "OTHER": "CHEST/ABD|CHEST-ABDOMEN|KNEE/LEG|PELVIS-HIP|Bauch, liegend|LUMBAR SPINE LATERAL|"
    "DOE JOHN|T-D4000|T-D1100|TD-12|NG-C|BRUST-WS|Doe^Jane, born 1970|ORCHESTRA PIT|"
    "Lungenklinik, Bett 3|KNEE\\LEG|CHEST\\KNEE|胸椎|胸骨|胸鎖関節|胸腹部|가슴뼈|흉추|"
    "cột sống ngực|prsni del hrbtenice|GÖĞÜS KEMİĞİ|грудной отдел позвоночника|грудина|"
    "grudni deo kičme|klatka piersiowa i kręgosłup|"
    "العمود الفقري الصدري",
}


def cases(words: dict[str, str]) -> list[tuple[str, str]]:
    return [(word, told) for told, each in words.items() for word in each.split("|")]


@pytest.mark.parametrize(("value", "told"), cases(BODY_PARTS))
def test_a_body_part_is_the_word_for_the_chest_a_plain_code_or_another(
    value: str, told: str
) -> None:
    values = value.split("\\")

    assert facts_of({"BodyPartExamined": values if values[1:] else value}).body_part == told


@pytest.mark.parametrize(
    ("modality", "sop_class", "told"),
    [
        *(("DX", "1.1", "DX"), ("cr", "1.1", "CR"), ("RTIMAGE", "1.1", "RTIMAGE")),
        *((value, "1.1", "OTHER") for value in ("DOE JOHN", "DOE", "X-RAY", ["DX", "CR"])),
        *(("US", "1", "US"), ("", "1", "CR"), (None, "2", "CT"), ("", "2.2", "CT")),
        *(("", "1.1.1", "DX"), ("", "1.2", "MG"), ("DS", "12.1", "XA"), ("DR", "1", "CR")),
        *(("DR", "7", "DX"), ("DS", "7", "OTHER"), (None, "7", None)),
    ],
    ids=str,
)
def test_a_modality_is_a_term_or_another_or_where_it_is_none_what_the_sop_class_says(
    modality: object, sop_class: str, told: str | None
) -> None:
    attributes = {"Modality": modality, "SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{sop_class}"}

    assert facts_of(attributes).modality == told


VIEWS = {
    **{term: term for term in ("AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO")},
    "LATERAL": "LATERAL|LAT|L LAT|lat.|AP\\LAT|LLAT|LATL|R_LAT|XTLAT|Profil|PERFIL D|seitlich|"
    "latéral|boczne|боковая|側面|측면|профиль|CROSS TABLE|PRFL|dwars|LEFTLATERAL|RTLATERAL|"
    "XTABLELATERAL|CHESTPROFIL|bočná|Sidobild|SIDEBILLEDE|Seite|zij|XTL|латеральная|бічна|профіль|бочна|"
    "странична|προφίλ|侧|左側|측방|צד|פרופיל|ด้านข้าง|DORSAL DECUBITUS|LATERAL_DORSAL_DECUBITUS|"
    "HORIZONTAL_BEAM|shoot-through|stranska|胸部左侧位|正侧位|胸部(侧)|XTABLE",
    "OTHER": "LAT DECUBITUS|FLAT|AP BILAT|AP LORDOTIC|PA ERECT|AP_SUPINE|BILATERAL|COLLATERAL|"
    "CONTRALATERAL|正位(倾斜)|双侧|"
    "左侧卧位|AP HORIZONTAL BEAM|FLEX TABLE|患侧|正位 右侧|胸部(右侧)",
    "OBLIQUE": "OBLIQUE|PA_OBL|RAO|LPO|oblicua|Schräg|skośna|schuin|косая|斜位",
}


@pytest.mark.parametrize(("value", "told"), cases(VIEWS))
def test_a_view_position_is_a_term_of_the_standard_or_lateral(value: str, told: str) -> None:
    values = value.split("\\")

    assert facts_of({"ViewPosition": values if values[1:] else value}).view_position == told


def test_a_slice_across_the_body_is_no_lateral_view() -> None:
    orientation: dict[str, object] = {"PatientOrientation": ["L", "P"]}

    assert facts_of({"Modality": "CT"} | orientation).view_position is None
    assert facts_of({"Modality": "DX"} | orientation).view_position == "LATERAL"


def test_a_body_part_may_say_that_the_view_is_lateral() -> None:
    facts = facts_of({"BodyPartExamined": "CHESTLAT"})

    assert (facts.body_part, facts.view_position) == ("CHEST", "LATERAL")
    assert facts.view_from == "Body Part Examined"
    assert facts_of({"BodyPartExamined": "CHEST LAT", "ViewPosition": "PA"}).view_position == "PA"


@pytest.mark.parametrize(
    "part",
    [
        *("CHEST PA LAT", "CHEST_PA_LAT", "CHESTPALAT", "CHESTPALATERAL", "CHEST 2V PA/LAT"),
        *("CHEST FRONTAL LAT", "胸部正侧位"),
    ],
)
def test_a_body_part_of_two_views_says_not_which_one_it_is(part: str) -> None:
    assert facts_of({"BodyPartExamined": part}).view_position is None


def coded(keyword: str, *codes: tuple[str, str]) -> dict[str, object]:
    """A sequence of codes, each with its value and its meaning."""
    items = [Dataset() for _ in codes]
    for item, code in zip(items, codes, strict=True):
        item.CodeValue, item.CodeMeaning = code
    return {keyword: items}


@pytest.mark.parametrize(
    ("code", "meaning", "told"),
    [
        ("399198007", "x", "LATERAL"),
        ("R-10232", "x", "LATERAL"),
        ("L1", "left lateral", "LATERAL"),
        ("O1", "left anterior oblique", "OBLIQUE"),
        ("399348003", "antero-posterior", None),
        ("D1", "left lateral decubitus", None),
    ],
)
def test_a_view_code_tells_what_is_lateral(code: str, meaning: str, told: str | None) -> None:
    facts = facts_of(coded("ViewCodeSequence", (code, meaning)))

    assert facts.view_position == told
    assert facts.view_from == ("View Code Sequence" if told else "View Position")


PART, REGION = "Body Part Examined", "Anatomic Region Sequence"
THORAX, KNEE = ("51185008", "x"), ("72696002", "Knee")
CHESTS = [THORAX, ("T-28000", "x"), ("C", "Tórax")]


@pytest.mark.parametrize(
    ("part", "codes", "told", "by"),
    [
        *(("", [code], "CHEST", REGION) for code in CHESTS),
        *(("CHEST", [code], "CHEST", PART) for code in CHESTS),
        *((part, [KNEE], "OTHER", REGION) for part in ("", "CHEST")),
        *((part, [("122495006", "Thoracic spine")], "OTHER", REGION) for part in ("", "CHEST")),
        *(("", codes, "OTHER", REGION) for codes in ([THORAX, KNEE], [KNEE, THORAX])),
        ("CHEST", [("", "")], "CHEST", PART),
        ("KNEE", [THORAX], "KNEE", PART),
    ],
)
def test_a_region_code_tells_what_is_chest_and_whatever_is_another_part_counts(
    part: str, codes: list[tuple[str, str]], told: str, by: str
) -> None:
    facts = facts_of({"BodyPartExamined": part} | coded("AnatomicRegionSequence", *codes))

    assert (facts.body_part, facts.body_part_from) == (told, by)


@pytest.mark.parametrize(
    ("attributes", "attribute"),
    [
        ({"PresentationIntentType": "FOR PROCESSING"}, "Presentation Intent Type"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}, "SOP Class UID"),
        ({"PresentationIntentType": "FOR PRESENTATION"}, None),
    ],
)
def test_an_image_that_is_not_to_be_looked_at_says_so(
    attributes: dict[str, object], attribute: str | None
) -> None:
    assert facts_of(attributes).processing_from == attribute


@pytest.mark.parametrize("value", ["Doe^Jane", "1.2.3 Doe"])
def test_what_is_no_uid_is_not_told(value: str) -> None:
    assert facts_of({"StudyInstanceUID": value}).study_instance_uid is None


ORIENTATIONS = {
    "L\\F": ("", CHEST),
    "R\\F": ("mirrored left to right", CHEST[:, ::-1]),
    "L\\H": ("mirrored top to bottom", CHEST[::-1]),
    "RA\\HP": ("turned by 180 degrees", CHEST[::-1, ::-1]),
    "F\\L": ("mirrored along its diagonal", CHEST.T),
    "F\\R": ("turned by 90 degrees clockwise", np.rot90(CHEST, -1)),
    "H\\L": ("turned by 90 degrees counterclockwise", np.rot90(CHEST)),
    "H\\R": ("mirrored along its other diagonal", np.rot90(CHEST, 2).T),
    "": ("", CHEST),
    "L": ("", CHEST),
    "L\\R": ("", CHEST),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_radiograph_is_turned_upright_and_says_how(orientation: str) -> None:
    words, expected = ORIENTATIONS[orientation]

    radiograph = decode(as_dicom(CHEST, PatientOrientation=orientation.split("\\")))

    assert radiograph.turned.words == words
    assert bool(radiograph.turned) == bool(words)
    assert np.array_equal(radiograph.pixels, expected)
    assert (radiograph.rows, radiograph.columns) == expected.shape
    assert np.array_equal(radiograph.turned.undo(radiograph.pixels), CHEST)


def test_a_slice_and_a_lateral_view_are_not_turned() -> None:
    turned = {"PatientOrientation": ["R", "F"]}

    assert not decode(as_dicom(CHEST, Modality="CT", **turned)).turned
    assert not decode(as_dicom(CHEST, ViewPosition="LL", **turned)).turned


@pytest.mark.parametrize(
    ("character_set", "encoding", "word"),
    [
        ("ISO_IR 100", "latin-1", "TÓRAX"),
        ("ISO_IR 144", "iso8859_5", "ГРУДНАЯ"),
        ("ISO_IR 126", "iso8859_7", "ΘΏΡΑΚΑΣ"),
        ("GB18030", "gb18030", "胸部"),
        (None, "utf-8", "胸部"),
        (None, "latin-1", "TÓRAX"),
    ],
)
def test_a_code_string_may_be_in_the_character_set_of_the_file(
    character_set: str | None, encoding: str, word: str
) -> None:
    named: dict[str, object] = {"SpecificCharacterSet": character_set} if character_set else {}

    assert facts_of({"BodyPartExamined": word} | named, encoding).body_part == "CHEST"
