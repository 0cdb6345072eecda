import io
import re
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.lung_data import tiny_segmenter, write_covid_chestxray
from tests.synthetic import synthetic_radiograph
from training.errors import TrainingDiverged, WorkdirIncomplete, WorkdirMismatch
from training.lungs import train
from training.lungs.evaluate import evaluate_lungs
from training.lungs.segment import load_segment
from training.lungs.train import fit_lungs
from training.lungs.workdir import LungWorkdir

RECIPE = tiny_segmenter()


class Killed(Exception):
    pass


class DyingConsole(Console):
    def print(self, *objects: object, **_: object) -> None:
        if str(objects[0]).startswith("epoch 1/"):
            raise Killed


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_covid_chestxray(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def workdir(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workdir")
    fit_lungs(RECIPE, data, folder, quiet())
    return folder


def test_a_training_leaves_its_split_its_history_and_its_model(workdir: Path) -> None:
    splits = pd.read_csv(workdir / "split.csv")["split"].value_counts()
    history = pd.read_csv(workdir / "history.csv")
    trained = LungWorkdir(workdir).load()

    assert dict(splits) == {"train": 4, "test": 3, "validation": 1}
    assert list(history["epoch"]) == [1, 2]
    assert np.isfinite(history["loss"]).all()
    assert trained.recipe == RECIPE
    assert trained.evaluation is None
    assert trained.provenance.training_images == 4


def test_a_killed_training_carries_on_to_the_same_weights(
    data: Path, workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        fit_lungs(RECIPE, data, tmp_path, DyingConsole())
    assert not (tmp_path / "model.keras").exists()
    # A split that is drawn again could let test images into the training.
    monkeypatch.delattr(train, "drawn_splits")
    console = quiet()

    fit_lungs(RECIPE, data, tmp_path, console)

    assert isinstance(console.file, io.StringIO)
    assert re.findall(r"epoch (\d)/2", console.file.getvalue()) == ["2"]
    weights, expected = (LungWorkdir(w).load().model.get_weights() for w in (tmp_path, workdir))
    for found, wanted in zip(weights, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_damaged_checkpoint_says_what_to_do(data: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.npz").write_bytes(b"damaged")

    with pytest.raises(WorkdirIncomplete, match="Remove it to start this training again"):
        fit_lungs(RECIPE, data, tmp_path, quiet())


def test_a_workdir_belongs_to_one_recipe(data: Path, workdir: Path) -> None:
    with pytest.raises(WorkdirMismatch, match="another recipe or other data"):
        fit_lungs(tiny_segmenter(network={"width": 3}), data, workdir, quiet())


def test_a_loss_that_is_no_number_stops_the_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object, logits: keras.KerasTensor) -> keras.KerasTensor:
        return keras.ops.mean(logits, axis=(1, 2, 3)) * float("nan")

    monkeypatch.setattr(train, "overlap_loss", broken)

    with pytest.raises(TrainingDiverged, match="epoch 1, batch 1"):
        fit_lungs(RECIPE, data, tmp_path, quiet())


def test_the_held_out_patients_are_measured_one_by_one(data: Path, workdir: Path) -> None:
    evaluation = evaluate_lungs(data, workdir)

    table = pd.read_csv(workdir / "dice-test.csv")
    figures = {metric.name: metric for metric in evaluation.metrics}
    assert evaluation.images == evaluation.patients == len(table) == 3
    assert evaluation.worst == pytest.approx(table["dice"].min())
    assert figures["dice_median"].value == pytest.approx(table["dice"].median())
    assert figures["dice_lowest_tenth"].value < figures["dice_median"].value
    assert figures["dice_mean"].lower <= figures["dice_mean"].value <= figures["dice_mean"].upper
    assert LungWorkdir(workdir).load().evaluation == evaluation


def test_other_images_than_those_of_the_training_are_not_measured(
    workdir: Path, tmp_path: Path
) -> None:
    other = write_covid_chestxray(tmp_path, patients=5)

    with pytest.raises(WorkdirMismatch, match="digest differs"):
        evaluate_lungs(other, workdir)


def test_an_unfinished_training_is_not_measured(data: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkdirIncomplete, match="no finished training"):
        evaluate_lungs(data, tmp_path)


def test_masks_have_the_size_of_the_images(workdir: Path) -> None:
    segment = load_segment(workdir)
    chests = np.stack([synthetic_radiograph(50, 60, seed=seed) for seed in range(2)])

    masks = segment(chests[..., np.newaxis])

    assert masks.shape == (2, 50, 60)
    assert masks.dtype == np.bool_
