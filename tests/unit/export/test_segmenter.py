import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from contract.errors import InvalidManifest
from contract.lungs import LungFieldLimits, lung_mask
from contract.manifest import LUNG_MASK, is_segmenter, read_manifest, read_segmenter
from export.bundle import export_segmenter
from export.cli import app
from export.graph import tensor_specs
from export.session import open_session, run_in_batches
from tests.lung_data import tiny_segmenter, write_covid_chestxray
from training.errors import WorkdirMismatch
from training.lungs import LungFieldFit, evaluate_lungs, load_segment, train_lungs
from training.workdir import Workdir

LUNG_FIELD = LungFieldLimits(doubt=0.1, lower=0.5)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_covid_chestxray(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def workdir(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workdir")
    recipe = tiny_segmenter(training={"epochs": 1, "warmup_epochs": 0})
    train_lungs(recipe, folder, data, Console(file=io.StringIO()))
    return folder


@pytest.fixture(scope="module")
def bundle(workdir: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    places = ("--workdir", str(workdir), "--data", str(data), "--models", str(models))
    refused = CliRunner().invoke(app, ["convert-lungs", *places])
    assert refused.exit_code == 1
    assert "not evaluated yet" in refused.stderr
    evaluate_lungs(data, workdir)
    work = Workdir(workdir)
    found = LungFieldFit(limits=LUNG_FIELD, fitted=9, measured=9, refused=0, caught={0.4: 1})
    work.write_json(work.root / "lung-field.json", found)
    converted = CliRunner().invoke(app, ["convert-lungs", *places])
    assert converted.exit_code == 0, converted.output
    return Path(converted.stdout.splitlines()[-1])


def test_a_bundle_holds_the_graph_that_its_manifest_and_its_card_describe(bundle: Path) -> None:
    manifest, model = read_segmenter(bundle)

    graph = onnx.load_from_string(model).graph
    manifest.check_signature(tensor_specs(graph.input), tensor_specs(graph.output))
    assert (bundle.parent.name, bundle.name) == ("tiny-lungs", "1")
    assert manifest.parity.images == 3
    assert manifest.metrics[0].name == "dice_median"
    assert manifest.lung_field == LUNG_FIELD
    card = (bundle / "model-card.md").read_text()
    assert "Research only. Not for diagnosis." in card
    assert f"dice_median | {manifest.metrics[0].value:.3f} |" in card
    assert "- Mind the gap." in card
    assert "accepted from a completeness of 0.5 |" in card
    assert manifest.digest in card


def test_the_graph_draws_what_the_training_draws(bundle: Path, workdir: Path) -> None:
    _, model = read_segmenter(bundle)

    found = run_in_batches(open_session(model), IMAGES)[LUNG_MASK][..., 0]

    masks = np.stack([lung_mask(plane, (32, 32)) for plane in found])
    np.testing.assert_array_equal(masks, load_segment(workdir)(IMAGES))


def test_a_segmenter_is_not_taken_for_a_classifier(bundle: Path) -> None:
    assert is_segmenter(bundle)
    with pytest.raises(InvalidManifest, match="kind"):
        read_manifest(bundle)


@pytest.mark.usefixtures("bundle")
def test_only_the_images_of_the_training_prove_the_graph(workdir: Path, tmp_path: Path) -> None:
    other = write_covid_chestxray(tmp_path, patients=5)

    with pytest.raises(WorkdirMismatch, match="digest differs"):
        export_segmenter(workdir, other, tmp_path / "models")
