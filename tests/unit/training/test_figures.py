from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contract.radiograph import Radiograph, decode
from training.figures import (
    Curve,
    Scored,
    draw_counts,
    draw_curves,
    draw_precision_recall,
    draw_reliability,
    draw_roc,
    draw_scores,
)

LABELS = ("normal", "pneumonia", "covid-19", "tuberculosis")
CLASSES = np.arange(40) % 4
SCORES = np.random.default_rng(0).dirichlet(np.ones(4), 40)
FINDINGS = [
    Scored(label, SCORES[:, number], np.equal(CLASSES, number), operating_point=0.4)
    for number, label in enumerate(LABELS)
]
CURVE = Curve("AUROC", *(np.array(values) for values in ([0, 1], [0.9, 0.8], [0.8, 0.6], [1, 0.9])))


def drawn(path: Path) -> Radiograph:
    return decode(path.read_bytes())


@pytest.mark.parametrize(
    "draw", [draw_roc, draw_precision_recall, draw_scores], ids=lambda draw: draw.__name__
)
def test_several_findings_have_other_ink_than_one(
    tmp_path: Path, draw: Callable[[Path, list[Scored]], None]
) -> None:
    draw(tmp_path / "one.png", FINDINGS[:1])
    draw(tmp_path / "four.png", FINDINGS)

    one, four = drawn(tmp_path / "one.png"), drawn(tmp_path / "four.png")
    assert (one.pixels < 255).any()
    assert (four.pixels < 255).sum() > (one.pixels < 255).sum()


def test_a_finding_that_is_never_called_has_a_precision_recall_curve_without_a_point(
    tmp_path: Path,
) -> None:
    never = Scored("normal", SCORES[:, 0], CLASSES == 0, operating_point=1.0)

    draw_precision_recall(tmp_path / "never.png", [never])

    assert drawn(tmp_path / "never.png").rows > 0


def test_calibration_before_and_after_is_drawn(tmp_path: Path) -> None:
    draw_reliability(tmp_path / "same.png", SCORES, SCORES, CLASSES)
    draw_reliability(tmp_path / "other.png", SCORES, np.roll(SCORES, 1, axis=1), CLASSES)

    same, other = drawn(tmp_path / "same.png"), drawn(tmp_path / "other.png")
    assert (same.pixels != other.pixels).any()


def test_an_empty_row_of_counts_can_be_drawn(tmp_path: Path) -> None:
    draw_counts(tmp_path / "counts.png", [[3, 1, 0], [0, 0, 0]], LABELS[:2], (*LABELS[:2], "refer"))

    assert (drawn(tmp_path / "counts.png").pixels < 255).any()


def test_many_panels_are_drawn_in_rows(tmp_path: Path) -> None:
    draw_curves(tmp_path / "three.png", [(f"panel {number}", [CURVE]) for number in range(3)])
    draw_curves(tmp_path / "seven.png", [(f"panel {number}", [CURVE]) for number in range(7)])

    three, seven = drawn(tmp_path / "three.png"), drawn(tmp_path / "seven.png")
    assert seven.rows > 1.5 * three.rows
    assert seven.columns > three.columns
