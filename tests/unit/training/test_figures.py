from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from contract.findings import Label
from contract.radiograph import decode
from tests.training_data import findings, metric
from training.figures import draw_curves, draw_evaluation
from training.predictions import Predictions, count_answers

LABELS: tuple[Label, ...] = ("normal", "pneumonia", "covid-19", "tuberculosis")
CLASSES = np.arange(40) % 4
SCORES = np.random.default_rng(0).dirichlet(np.ones(4), 40).astype(np.float32)
PREDICTIONS = Predictions(
    logits=np.log(SCORES),
    probabilities=SCORES,
    classes=CLASSES,
    patients=np.arange(40).astype(str),
    sources=np.repeat("one", 40),
)
KINDS = {"roc", "precision-recall", "reliability", "answers"}


def drawn(folder: Path, predictions: Predictions = PREDICTIONS, **changes: Any) -> dict[str, int]:
    """How many pixels of each plot are not white."""
    asked = {"positive": None, "point": 0.4, **changes}
    found = findings(*((label, asked["point"]) for label in LABELS))
    answers = count_answers(predictions, found)
    draw_evaluation(folder, "test", predictions, found, asked["positive"], answers)
    pictures = {f.stem.removeprefix("test-"): decode(f.read_bytes()) for f in folder.iterdir()}
    return {kind: int((picture.pixels < 255).sum()) for kind, picture in pictures.items()}


def test_each_finding_has_its_curves_and_a_point_where_it_is_called(tmp_path: Path) -> None:
    four = drawn(tmp_path / "four")
    one = drawn(tmp_path / "one", positive="pneumonia")
    never = drawn(tmp_path / "never", point=1.0)
    ill = drawn(tmp_path / "ill", replace(PREDICTIONS, classes=np.ones(40, np.int64)))

    assert one.keys() == four.keys() == KINDS
    assert ill.keys() == KINDS - {"roc", "precision-recall"}
    for kind in ("roc", "precision-recall"):
        assert four[kind] > one[kind] > 0
    assert never["precision-recall"] < four["precision-recall"]


def test_below_the_reliability_stand_the_images_of_each_bin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: dict[str, Figure] = {}
    monkeypatch.setattr(
        "training.figures.save_figure", lambda figure, path: saved.update({path.stem: figure})
    )

    draw_evaluation(tmp_path, "test", PREDICTIONS, findings(), None, ((0,) * 5,) * 4)

    above, below = saved["test-reliability"].axes
    before, after = (line.get_xydata() for line in above.lines[-2:])
    assert not np.array_equal(before, after)
    counts = [int(text.get_text()) for text in below.texts if text.get_text()]
    in_bins, _ = np.histogram(SCORES.max(axis=1), bins=15, range=(0, 1))
    assert counts == [count for count in in_bins if count]
    assert sum(counts) == 40


@pytest.mark.parametrize(("panels", "rows"), [(1, 1), (4, 1), (5, 2)])
def test_many_panels_are_drawn_in_rows_of_four(tmp_path: Path, panels: int, rows: int) -> None:
    curve = ("AUROC", [0, 1], [metric("auroc", 0.9), metric("auroc", 0.7)])

    draw_curves(tmp_path / "curves.png", [(f"panel {n}", [curve]) for n in range(panels)])

    picture = decode((tmp_path / "curves.png").read_bytes())
    assert picture.rows == round((2.6 * rows + 0.3) * 120)
