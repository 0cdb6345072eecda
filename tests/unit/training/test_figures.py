from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from contract.findings import Label
from contract.radiograph import Radiograph, decode
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


def drawn(
    folder: Path,
    predictions: Predictions = PREDICTIONS,
    positive: Label | None = None,
    point: float = 0.4,
) -> dict[str, Radiograph]:
    found = findings(*((label, point) for label in LABELS))
    answers = count_answers(predictions, found)
    draw_evaluation(folder, "test", predictions, found, positive, answers)
    return {file.stem.removeprefix("test-"): decode(file.read_bytes()) for file in folder.iterdir()}


def test_several_findings_have_more_ink_than_one(tmp_path: Path) -> None:
    one, four = drawn(tmp_path / "one", positive="pneumonia"), drawn(tmp_path / "four")

    assert one.keys() == four.keys() == KINDS
    for kind in ("roc", "precision-recall"):
        assert (four[kind].pixels < 255).sum() > (one[kind].pixels < 255).sum() > 0


def test_a_finding_that_is_never_called_has_curves_without_a_point(tmp_path: Path) -> None:
    never, often = drawn(tmp_path / "never", point=1.0), drawn(tmp_path / "often")

    curve = "precision-recall"
    assert (never[curve].pixels < 255).sum() < (often[curve].pixels < 255).sum()


def test_images_of_one_class_have_no_curve(tmp_path: Path) -> None:
    ill = replace(PREDICTIONS, classes=np.ones(40, np.int64))

    assert drawn(tmp_path, ill).keys() == KINDS - {"roc", "precision-recall"}


def test_calibration_before_and_after_is_drawn(tmp_path: Path) -> None:
    other = replace(PREDICTIONS, logits=3 * PREDICTIONS.logits)

    same, sharper = drawn(tmp_path / "same"), drawn(tmp_path / "other", other)

    assert (same["reliability"].pixels != sharper["reliability"].pixels).any()


def test_below_the_reliability_stand_the_images_of_each_bin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: dict[str, Figure] = {}
    monkeypatch.setattr(
        "training.figures.save_figure", lambda figure, path: saved.update({path.stem: figure})
    )

    draw_evaluation(tmp_path, "test", PREDICTIONS, findings(), None, ((0,) * 5,) * 4)

    _, below = saved["test-reliability"].axes
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
