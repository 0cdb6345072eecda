from typing import get_args

from contract.findings import CODES, Label


def test_every_label_has_a_code() -> None:
    assert set(CODES) == set(get_args(Label))


def test_no_two_labels_share_a_code() -> None:
    assert len({code.code for code in CODES.values()}) == len(CODES)
