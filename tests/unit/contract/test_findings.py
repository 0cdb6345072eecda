from typing import get_args

import pytest
from pydantic import ValidationError

from contract.findings import CODES, Label


def test_every_label_has_a_code() -> None:
    assert set(CODES) == set(get_args(Label))


def test_no_two_labels_share_a_code() -> None:
    assert len({code.code for code in CODES.values()}) == len(CODES)


def test_a_code_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        CODES["normal"].code = "0"  # type: ignore[misc]
