import io
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation

from gateway.config import Rule
from gateway.headers import facts_of, is_own_result
from gateway.rules import choose, route
from gateway.tables import Instance
from tests.gateway.drawn import film

IMAGE_TYPE, FRAMES, EQUIPMENT = 0x00080008, 0x00280008, 0x0018A001
FACTS: dict[str, Any] = {
    "sop_class": str(DigitalXRayImageStorageForPresentation),
    "modality": "DX",
    "body_part": "CHEST",
    "view": "PA",
    "image_type": ["DERIVED", "PRIMARY"],
    "calling": "ROOM1",
    "called": "PNEUMO",
}


def sent(uid: str = "") -> Instance:
    return Instance(sop_uid=uid, source="dimse", calling="ROOM1", called="PNEUMO")


def rule(**conditions: Any) -> Rule:
    return Rule(name="r", destinations=("pacs",), **conditions)


@pytest.mark.parametrize(
    ("conditions", "facts", "missed"),
    [
        ({}, {}, None),
        ({"modality": ("cr", "dx")}, {}, None),
        ({"modality": ("CR",)}, {}, "modality"),
        ({"view": ("!LL", "!RL")}, {}, None),
        ({"view": ("!P*",)}, {}, "view"),
        ({"body_part": ("CH*", "")}, {}, None),
        ({"body_part": ("",)}, {}, "body_part"),
        ({"body_part": ("CHEST", "")}, {"body_part": ""}, None),
        ({"body_part": ("CHEST",)}, {"body_part": ""}, "body_part"),
        ({"image_type": ("PRIMARY",)}, {}, None),
        ({"image_type": ("!DERIVED",)}, {}, "image_type"),
        ({"image_type": ("",)}, {"image_type": []}, None),
        ({"sop_class": ("Digital X-Ray Image Storage - For Presentation",)}, {}, None),
        ({"sop_class": ("1.2.840.10008.5.1.4.1.1.1",)}, {}, "sop_class"),
        ({"calling": ("ROOM?",), "called": ("PNEUMO",)}, {}, None),
        ({"calling": ("ROOM2",)}, {}, "calling"),
    ],
)
def test_a_rule_holds_where_all_it_says_does(
    conditions: dict[str, Any], facts: dict[str, Any], missed: str | None
) -> None:
    found, reason = choose([rule(**conditions)], {**FACTS, **facts})

    assert (found is not None) == (missed is None)
    assert reason == (f"No rule takes it: r ({missed})." if missed else "")


@pytest.mark.parametrize(
    ("tag", "vr", "value", "fact", "expected"),
    [
        (IMAGE_TYPE, "CS", "DERIVED", "image_type", ["DERIVED"]),
        (IMAGE_TYPE, "CS", ["ORIGINAL", "PRIMARY"], "image_type", ["ORIGINAL", "PRIMARY"]),
        (IMAGE_TYPE, "US", 5, "image_type", ["5"]),
        (IMAGE_TYPE, "CS", "", "image_type", []),
        (FRAMES, "FD", float("inf"), "frames", 1),
        (FRAMES, "IS", [3, 4], "frames", 1),
        (FRAMES, "IS", "7", "frames", 7),
        (EQUIPMENT, "LO", "text", "frames", 1),
    ],
)
def test_attributes_of_another_form_are_no_reason_to_fail(
    tag: int, vr: str, value: Any, fact: str, expected: Any
) -> None:
    header = Dataset()
    header[tag] = DataElement(tag, vr, value)

    assert facts_of(header)[fact] == expected
    assert not is_own_result(header)


@pytest.mark.parametrize(
    ("attributes", "state", "reason"),
    [
        ({"SOPInstanceUID": "1.2.3"}, "parked", "under which it was sent"),
        ({"StudyInstanceUID": ""}, "parked", "no study"),
        ({"SeriesInstanceUID": "1.2\\3.4"}, "parked", "no series"),
        ({"Rows": None}, "ignored", "no image"),
        ({"Modality": "MG"}, "ignored", "films (modality)"),
    ],
)
def test_what_is_not_read_has_its_reason(
    tmp_path: Path, attributes: dict[str, Any], state: str, reason: str
) -> None:
    file = tmp_path / "film.dcm"
    file.write_bytes(film(1, **attributes))
    films = Rule(name="films", modality=("DX",), destinations=("pacs",))

    outcome = route([films], file, sent("1.2.826.0.1.3680043.10.1.1.1"))

    assert outcome.state == state
    assert reason in str(outcome.reason)


def test_more_frames_than_any_image_has_are_parked_before_they_are_counted(tmp_path: Path) -> None:
    dataset = dcmread(io.BytesIO(film(1)))
    dataset.NumberOfFrames = 1_000_000_000
    file = tmp_path / "film.dcm"
    dataset.save_as(file)

    outcome = route([rule(unit="series")], file, sent())

    assert (outcome.state, outcome.reason) == ("parked", "It claims more than 10000 frames.")


def test_a_file_that_cannot_be_read_is_parked(tmp_path: Path) -> None:
    file = tmp_path / "film.dcm"
    file.write_bytes(film(1)[:400])

    assert route([], file, sent()).state == "parked"


def test_an_object_that_nobody_foresaw_is_parked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unforeseen(_header: Dataset) -> bool:
        raise ValueError("Nobody^Drawn")

    monkeypatch.setattr("gateway.rules.is_own_result", unforeseen)
    file = tmp_path / "film.dcm"
    file.write_bytes(film(1))

    outcome = route([rule()], file, sent())

    assert (outcome.state, outcome.reason) == ("parked", "unforeseen: ValueError")
