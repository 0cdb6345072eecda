import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contract.manifest import ModelManifest
from export.cli import app
from tests.training_data import tiny_recipe
from training.calibrate import Calibration
from training.graph_measurement import GraphMeasurement, read_graph_measurement
from training.models import build_classifier
from training.workdir import Workdir, load_trained


def write_finished(workdir: Path, manifest: ModelManifest) -> None:
    calibration = Calibration(
        temperature=1.5,
        loss_before=0.3,
        loss_after=0.2,
        validation_images=4,
        shifts=("none",),
        findings=manifest.findings,
    )
    work, recipe = Workdir(workdir), tiny_recipe()
    work.bind(recipe, "sha256:1")
    work.write_calibration(calibration)
    work.finish(build_classifier(recipe), manifest.provenance)


def measure(workdir: Path) -> Result:
    return CliRunner().invoke(app, ["measure", "--workdir", str(workdir)])


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory, manifest: ModelManifest) -> Path:
    """A comparison with one network, one classical learner and the images of both."""
    folder = tmp_path_factory.mktemp("compared")
    write_finished(folder / "compact", manifest)
    (folder / "svm-hog").mkdir()
    (folder / "cache").mkdir()
    return folder


@pytest.fixture(scope="module")
def measured(comparison: Path) -> Result:
    return measure(comparison)


@pytest.fixture
def found(comparison: Path, measured: Result) -> GraphMeasurement:
    found = read_graph_measurement(comparison / "compact")
    assert found is not None
    return found


def test_every_network_of_a_comparison_is_measured(
    measured: Result, found: GraphMeasurement
) -> None:
    assert measured.exit_code == 0, measured.output
    assert measured.stdout.startswith(f"compact: {found.parameters:,} parameters, ")
    assert measured.stdout.count("\n") == 1
    assert found.runtime.startswith("onnxruntime ")
    assert 0 < found.ms_per_image < 1000


def test_the_size_is_that_of_the_weights_and_a_little_more(
    comparison: Path, found: GraphMeasurement
) -> None:
    model = load_trained(comparison / "compact").model

    assert found.parameters == model.count_params()
    assert 2 * found.parameters < found.size_bytes < 4 * found.parameters + 100_000


def test_a_measurement_of_an_older_model_is_not_read(
    comparison: Path, found: GraphMeasurement, tmp_path: Path
) -> None:
    copied = shutil.copytree(comparison / "compact", tmp_path / "compact")
    before = read_graph_measurement(copied)

    Workdir(copied).model.write_bytes(b"trained again")

    assert before == found
    assert read_graph_measurement(copied) is None


def test_a_folder_without_a_training_is_refused(tmp_path: Path) -> None:
    result = measure(tmp_path)

    assert result.exit_code == 1
    assert "holds no finished training" in result.stderr
