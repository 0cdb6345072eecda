from typing import Any

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from gateway.headers import facts_of, is_own_result

IMAGE_TYPE, FRAMES, EQUIPMENT = 0x00080008, 0x00280008, 0x0018A001


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
