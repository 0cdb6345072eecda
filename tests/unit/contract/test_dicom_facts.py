import warnings

import pytest

from contract.dicom_facts import DicomFacts
from contract.radiograph import decode
from tests.synthetic import as_dicom, synthetic_radiograph

CHEST = synthetic_radiograph(20, 20)


def facts_of(**attributes: object) -> DicomFacts:
    with warnings.catch_warnings():
        # pydicom's writer notices what is no code string.
        warnings.simplefilter("ignore", UserWarning)
        data = as_dicom(CHEST, **attributes)
    facts = decode(data).dicom
    assert facts is not None
    return facts


@pytest.mark.parametrize("keyword", ["Modality", "BodyPartExamined", "ViewPosition"])
@pytest.mark.parametrize("value", ["", "  ", []])
def test_an_empty_value_is_none(keyword: str, value: object) -> None:
    facts = facts_of(**{keyword: value})

    told = {
        "Modality": facts.modality,
        "BodyPartExamined": facts.body_part,
        "ViewPosition": facts.view_position,
    }
    assert told[keyword] is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        *(("CHEST", "CHEST"), ("chest ", "CHEST"), ("KNEE", "KNEE"), ("CHESTABDOMEN",) * 2),
        *(("CHEST PA", "CHEST"), ("CHEST_1_VIEW", "CHEST"), ("Thorax ap", "THORAX")),
        *(("Lung, right", "LUNG"), ("T_SPINE", "T_SPINE")),
    ],
)
def test_a_body_part_is_a_code_or_the_word_for_the_chest(value: str, told: str) -> None:
    assert facts_of(BodyPartExamined=value).body_part == told


@pytest.mark.parametrize(
    "value",
    [
        *("KNEE/LEG", "PELVIS-HIP", "Bauch, liegend", "LUMBAR SPINE LATERAL", "DOE JOHN"),
        *("Doe^Jane, born 1970", "ORCHESTRA PIT", "Lungenklinik, Bett 3"),
        *(["KNEE", "LEG"], ["CHEST", "KNEE"]),
    ],
    ids=str,
)
def test_a_body_part_that_is_no_code_is_another(value: object) -> None:
    assert facts_of(BodyPartExamined=value).body_part == "OTHER"


@pytest.mark.parametrize(("value", "told"), [("DX", "DX"), ("cr", "CR"), ("RTIMAGE", "RTIMAGE")])
def test_a_modality_is_a_term_of_the_standard(value: str, told: str) -> None:
    assert facts_of(Modality=value).modality == told


@pytest.mark.parametrize("value", ["DOE JOHN", "DOE", "X-RAY", ["DX", "CR"]], ids=str)
def test_a_modality_that_dicom_does_not_define_is_another(value: object) -> None:
    assert facts_of(Modality=value).modality == "OTHER"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        *((term, term) for term in ("AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO")),
        *(("LATERAL", "LATERAL"), ("LAT", "LATERAL"), ("L LAT", "LATERAL"), ("lat.", "LATERAL")),
        *(("LAT DECUBITUS", "OTHER"), ("DOE JOHN", "OTHER"), (["AP", "LAT"], "LATERAL")),
    ],
    ids=str,
)
def test_a_view_position_is_a_term_of_the_standard_or_lateral(value: object, told: str) -> None:
    assert facts_of(ViewPosition=value).view_position == told
