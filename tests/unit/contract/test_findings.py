from typing import get_args

import pytest
from pydantic import ValidationError

from contract.findings import CODES, SNOMED_CT, Label


def verhoeff_checksum(digits: str) -> int:
    """0 for a valid SNOMED CT identifier.

    Source: SNOMED CT Technical Implementation Guide, 5.5 Check-digit computation.
    """
    first = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    powers = [list(range(10))]
    for _ in range(7):
        powers.append([powers[-1][first[digit]] for digit in range(10)])
    check = 0
    for position, digit in enumerate(reversed(digits)):
        check = dihedral(check, powers[position % 8][int(digit)])
    return check


def dihedral(left: int, right: int) -> int:
    """Multiply in the dihedral group of order ten."""
    if left < 5:
        return (left + right) % 5 if right < 5 else 5 + (left + right - 5) % 5
    return 5 + (left - right) % 5 if right < 5 else (left - right) % 5


def test_every_label_has_a_code() -> None:
    assert set(CODES) == set(get_args(Label))


@pytest.mark.parametrize("label", CODES)
def test_every_code_is_a_well_formed_snomed_ct_identifier(label: Label) -> None:
    assert CODES[label].system == SNOMED_CT
    assert verhoeff_checksum(CODES[label].code) == 0


def test_no_two_labels_share_a_code() -> None:
    assert len({code.code for code in CODES.values()}) == len(CODES)


def test_a_code_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        CODES["normal"].code = "0"  # type: ignore[misc]
