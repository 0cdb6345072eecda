import csv
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.training_data import TINY_RECIPE, write_kermany
from training.cli import app
from training.evaluation import Evaluation
from training.workdir import git_revision, load_trained

EPOCHS = 6
START_TIMEOUT_S = 600
SPLITS = ("train", "validation")


def train(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def fit(recipe: Path | str, data: Path, workdir: Path, *more: str) -> Result:
    return train("fit", "--recipe", recipe, "--data", data, "--workdir", workdir, *more)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY_RECIPE.replace("epochs = 2", f"epochs = {EPOCHS}"))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    home = write_kermany(root, "train", images_per_class=20)
    (home / "train" / "NORMAL" / "IM-0099-0001.jpeg").write_bytes(b"not an image")
    return root


@pytest.fixture(scope="module")
def trained(recipe: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test folder is not there yet: a training cannot have looked at it."""
    workdir = tmp_path_factory.mktemp("run") / "whole"
    result = fit(recipe, data, workdir)
    assert result.exit_code == 0, result.output
    write_kermany(data, "test", images_per_class=12, seed=500)
    return workdir


def test_a_training_leaves_a_model_and_where_it_came_from(trained: Path) -> None:
    model = load_trained(trained)

    assert model.config.name == "tiny"
    assert model.provenance.training_images + model.provenance.validation_images == 40
    assert model.provenance.data_digest.startswith("sha256:")
    assert [finding.label for finding in model.calibration.findings] == ["normal", "pneumonia"]
    assert re.fullmatch(r"keras 3\S* on tensorflow 2\S*", model.provenance.framework)
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", model.provenance.git_revision)
    assert model.provenance.calibrated_at_revision is None
    assert len(rows_of(trained / "history.csv")) == EPOCHS
    assert not list(trained.rglob(".draft-*"))


def test_no_patient_is_on_both_sides_of_the_split_and_what_is_unreadable_on_none(
    trained: Path,
) -> None:
    rows = rows_of(trained / "split.csv")

    sides = {split: {r["patient"] for r in rows if r["split"] == split} for split in SPLITS}
    assert all(sides.values())
    assert sides["train"].isdisjoint(sides["validation"])
    assert all(row["path"].startswith("train/") for row in rows)
    [unreadable] = rows_of(trained / "unreadable-development.csv")
    assert unreadable["path"] == "train/NORMAL/IM-0099-0001.jpeg"
    assert unreadable["path"] not in {row["path"] for row in rows}


def test_a_killed_training_carries_on_as_if_it_had_never_stopped(
    recipe: Path, data: Path, trained: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "killed"
    options = ("--recipe", recipe, "--data", data, "--workdir", workdir)
    process = subprocess.Popen(
        [sys.executable, "-m", "training", "fit", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    checkpoint = workdir / "checkpoints" / "stage-0" / "training_metadata.json"
    deadline = time.monotonic() + START_TIMEOUT_S
    # An empty file is of no epoch, and the training would rightly begin again.
    while not (checkpoint.exists() and checkpoint.stat().st_size):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (workdir / "model.keras").exists()
    written_before = checkpoint.stat().st_mtime_ns

    result = fit(recipe, data, workdir)

    assert result.exit_code == 0, result.output
    assert "Epoch 1/" not in result.output
    assert f"Epoch {EPOCHS}/{EPOCHS}" in result.output
    assert checkpoint.stat().st_mtime_ns > written_before
    whole, resumed = (rows_of(folder / "history.csv") for folder in (trained, workdir))
    assert [row["epoch"] for row in resumed] == [row["epoch"] for row in whole]
    for name in ("loss", "val_loss"):
        losses = [[float(row[name]) for row in rows] for rows in (whole, resumed)]
        assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
    answers = [load_trained(w).model.predict(images, verbose=0) for w in (trained, workdir)]
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-2)


def test_a_finished_training_is_not_trained_again(recipe: Path, data: Path, trained: Path) -> None:
    before = (trained / "calibration.json").read_text()

    result = fit(recipe, data, trained)

    assert result.exit_code == 0, result.output
    assert "Epoch" not in result.output
    assert (trained / "calibration.json").read_text() == before
    assert load_trained(trained).provenance.calibrated_at_revision == git_revision()


def test_an_evaluation_measures_and_changes_nothing(data: Path, trained: Path) -> None:
    before = (trained / "calibration.json").read_bytes()

    result = train("evaluate", "--workdir", trained, "--data", data)

    assert result.exit_code == 0, result.output
    assert "auroc" in result.output
    assert (trained / "calibration.json").read_bytes() == before
    evaluation = Evaluation.model_validate_json((trained / "evaluation.json").read_bytes())
    assert evaluation.images == 24
    assert evaluation.patients == 12
    metrics = {metric.name: metric for metric in evaluation.metrics}
    assert metrics["auroc"].value > 0.8
    assert metrics["auroc"].lower <= metrics["auroc"].value <= metrics["auroc"].upper
    for figure in ("roc", "reliability"):
        with Image.open(trained / "figures" / f"test-{figure}.png") as picture:
            assert picture.size == (600, 600)
    assert load_trained(trained).evaluation == evaluation


def test_the_predictions_of_an_evaluation_are_those_of_the_served_model(
    data: Path, trained: Path
) -> None:
    result = train("evaluate", "--workdir", trained, "--data", data, "--split", "validation")

    assert result.exit_code == 0, result.output
    rows = rows_of(trained / "predictions-validation.csv")
    points = {f.label: f.operating_point for f in load_trained(trained).calibration.findings}
    ill = [float(r["probability_pneumonia"]) for r in rows if r["label"] == "pneumonia"]
    assert len(rows) == load_trained(trained).provenance.validation_images
    evaluation = Evaluation.model_validate_json(
        (trained / "evaluation-validation.json").read_bytes()
    )
    assert (evaluation.images, evaluation.unreadable) == (len(rows), 1)
    assert np.mean(np.array(ill) >= points["pneumonia"] - 1e-6) >= 0.9


def test_validation_images_of_another_data_set_are_refused(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    write_kermany(tmp_path, "train", images_per_class=2, seed=900)

    result = train("evaluate", "--workdir", trained, "--data", tmp_path, "--split", "validation")

    untrained = train("evaluate", "--workdir", tmp_path / "none", "--data", data)

    assert (result.exit_code, untrained.exit_code) == (1, 1)
    assert "their digest differs" in result.stderr
    assert "run pneumo-train fit" in untrained.stderr


def test_a_training_that_diverges_is_stopped(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "changed.toml"
    recipe.write_text(TINY_RECIPE.replace("learning_rate = 1e-2", "learning_rate = 1e30"))

    result = fit(recipe, data, tmp_path / "run")

    assert result.exit_code == 1
    assert "The loss is no longer a number in epoch 1. Lower learning_rate" in result.stderr
    assert not (tmp_path / "run" / "model.keras").exists()


@pytest.mark.parametrize(
    ("recipe_name", "folder", "message"),
    [
        ("xray-elbow", "data", "There is no recipe 'xray-elbow'"),
        ("xray-pneumonia", "nowhere", "is no folder"),
        ("xray-pneumonia", "run", "10.17632/rscbjbr9sj"),
        ("xray-pneumonia", "data", "holds a training with another recipe"),
    ],
)
def test_a_mistake_is_answered_with_one_line(
    data: Path, trained: Path, recipe_name: str, folder: str, message: str
) -> None:
    folders = {"data": data, "nowhere": data / "nowhere", "run": trained}

    result = fit(recipe_name, folders[folder], trained)

    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("recipe_name", "weights", "message"),
    [
        ("xray-pneumonia", "imagenet", "There are no weights for compact"),
        ("xray-covid", "nowhere.npz", "There is no file of weights nowhere.npz"),
    ],
)
def test_weights_that_cannot_be_used_are_refused_before_any_image_is_read(
    data: Path, tmp_path: Path, recipe_name: str, weights: str, message: str
) -> None:
    result = fit(recipe_name, data, tmp_path / "run", "--weights", weights)

    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "run").exists()
