"""The whole way: train, evaluate, export, verify, serve, predict; each through its command."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contract.manifest import read_manifest
from export.cli import app as export_app
from service.settings import Settings
from tests.integration.live import serving
from tests.training_data import TINY_RECIPE, write_kermany
from training.cli import app as training_app


def export(*arguments: object) -> Result:
    return CliRunner().invoke(export_app, [str(argument) for argument in arguments])


def train(*arguments: object) -> Result:
    return CliRunner().invoke(training_app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_kermany(root, "train", images_per_class=20)
    write_kermany(root, "test", images_per_class=6, seed=500)
    return root


@pytest.fixture(scope="module")
def fitted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text(TINY_RECIPE)
    workdir = folder / "workdir"
    result = train("fit", "--recipe", folder / "tiny.toml", "--data", data, "--workdir", workdir)
    assert result.exit_code == 0, result.output
    return workdir


@pytest.fixture(scope="module")
def evaluated(fitted: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("evaluated") / "workdir"
    shutil.copytree(fitted, workdir)
    result = train("evaluate", "--workdir", workdir, "--data", data)
    assert result.exit_code == 0, result.output
    return workdir


@pytest.fixture(scope="module")
def models(evaluated: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "models"
    result = export("convert", "--workdir", evaluated, "--data", data, "--models", folder)
    assert result.exit_code == 0, result.output
    return folder


def test_a_trained_model_is_served_and_answers_as_it_was_verified(models: Path, data: Path) -> None:
    image = sorted((data / "chest_xray" / "test" / "PNEUMONIA").iterdir())[0]
    verified = subprocess.run(
        [sys.executable, "-m", "export", "verify", models / "tiny" / "1", image],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = json.loads(verified.stdout)
    with serving(Settings(models_dir=models, port=0, provider="cpu")) as live:
        [result] = live.predict(image.read_bytes()).json()["results"]

    found = {finding["label"]: finding["probability"] for finding in result["findings"]}
    assert found == pytest.approx(expected["probabilities"], abs=1e-6)
    assert result["decision"] == (expected["decision"]["label"] or "refer")


def test_the_bundle_says_where_it_comes_from(models: Path, evaluated: Path) -> None:
    manifest = read_manifest(models / "tiny" / "1")
    figures = {file.name for file in (models / "tiny" / "1" / "figures").iterdir()}

    assert manifest.provenance.recipe == "tiny"
    assert manifest.labels == ("normal", "pneumonia")
    assert b"saved_model" not in (models / "tiny" / "1" / "model.onnx").read_bytes()
    assert manifest.parity.images == manifest.provenance.validation_images
    assert manifest.parity.max_probability_difference <= manifest.parity.tolerance
    assert {metric.name for metric in manifest.metrics} >= {"auroc", "sensitivity", "specificity"}
    assert figures == {file.name for file in (evaluated / "figures").iterdir()}


def refused(*arguments: object) -> str:
    result = export(*arguments)

    assert result.exit_code == 1
    return result.stderr


def test_a_second_export_is_the_next_version_and_none_is_written_again(
    models: Path, evaluated: Path, data: Path
) -> None:
    command = ("convert", "--workdir", evaluated, "--data", data, "--models", models)

    result = export(*command)

    assert result.exit_code == 0, result.output
    assert read_manifest(models / "tiny" / "2").version == 2
    assert "tiny version 1 is already there" in refused(*command, "--version", 1)


def test_figures_that_no_longer_hold_are_named_and_written_again(
    models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny").write_text(TINY_RECIPE)
    monkeypatch.chdir(tmp_path)
    bundle = tmp_path / "models" / "tiny" / "1"
    shutil.copytree(models / "tiny" / "1", bundle)
    before = read_manifest(bundle)
    held = export("remeasure", bundle, "--data", data)
    content = json.loads((bundle / "manifest.json").read_text())
    [share] = [m for m in content["metrics"] if m["name"] == "refer_share" and not m["label"]]
    share.update(value=0.995, lower=0.99, upper=0.999)
    (bundle / "manifest.json").write_text(json.dumps(content))
    (bundle / "figures" / "test-reliability.png").unlink()

    found = export("remeasure", bundle, "--data", data, "--write")

    assert held.exit_code == found.exit_code == 0
    assert "refer_share" not in held.stdout
    assert "refer_share: " in found.stdout
    # Keras and ONNX Runtime differ in the last digits.
    values = [metric.value for metric in read_manifest(bundle).metrics]
    assert values == pytest.approx([metric.value for metric in before.metrics], abs=1e-4)
    assert "figures/test-reliability.png" in (bundle / "model-card.md").read_text()


def test_a_faster_file_is_compared_added_and_served(
    models: Path, evaluated: Path, data: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "tiny" / "1"
    shutil.copytree(models / "tiny" / "1", bundle)
    command = ("quantize", bundle, "--workdir", evaluated, "--data", data, "--precision", "fp16")
    image = sorted((data / "chest_xray" / "test" / "PNEUMONIA").iterdir())[0]

    result = export(*command)

    with serving(Settings(models_dir=tmp_path, port=0, provider="cpu", precision="fp16")) as live:
        body = live.predict(image.read_bytes()).json()
    assert "model.fp16.onnx: AUROC" in result.stdout
    [variant] = read_manifest(bundle).variants
    assert variant.agreement >= 0.99
    assert (body["precision"], body["model"]["digest"]) == ("fp16", variant.digest)
    assert variant.digest in (bundle / "model-card.md").read_text()
    assert export("verify", bundle).exit_code == 0
    assert "has a file in fp16" in refused(*command)


def test_the_workdir_of_another_training_makes_no_faster_file(
    models: Path, evaluated: Path, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "workdir"
    shutil.copytree(evaluated, other)
    provenance = json.loads((other / "provenance.json").read_text()) | {"git_revision": "another"}
    (other / "provenance.json").write_text(json.dumps(provenance))
    bundle = models / "tiny" / "1"

    words = refused("quantize", bundle, "--workdir", other, "--data", data, "--precision", "fp16")

    assert "is of another training" in words
    assert not (bundle / "model.fp16.onnx").exists()


def test_what_was_not_trained_or_evaluated_or_is_of_other_images_is_not_exported(
    fitted: Path, evaluated: Path, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write_kermany(other, "train", images_per_class=4, seed=900)

    for workdir, images, words in (
        (tmp_path, data, "holds no finished training: run pneumo-train fit"),
        (fitted, data, "pneumo-train evaluate"),
        (evaluated, other, "not the images of the training"),
    ):
        asked = ("--workdir", workdir, "--data", images, "--models", tmp_path / "models")
        assert words in refused("convert", *asked)
    assert list(tmp_path.iterdir()) == [other]
