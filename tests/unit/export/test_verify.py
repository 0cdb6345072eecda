import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from contract.errors import DigestMismatch, SignatureMismatch
from contract.manifest import ModelManifest
from export.cli import app
from export.errors import VerificationError
from export.store import write_bundle
from export.verify import answer, open_bundle
from tests.synthetic import as_jpeg, as_png, synthetic_radiograph


@pytest.fixture
def bundle(tmp_path: Path, manifest: ModelManifest, graph: onnx.ModelProto) -> Path:
    return write_bundle(tmp_path, manifest, graph.SerializeToString())


def test_every_image_gets_an_answer_of_its_own_in_order(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(as_jpeg(synthetic_radiograph(rows=300, columns=200)))
    (tmp_path / "b.png").write_bytes(as_png(synthetic_radiograph(rows=64, columns=64, seed=1)))

    answers = answer(bundle, [tmp_path / "b.png", tmp_path / "a.jpg"])

    assert [item.file for item in answers] == ["b.png", "a.jpg"]
    for item in answers:
        assert sum(item.probabilities.values()) == pytest.approx(1)


def test_a_bundle_can_be_verified_without_an_image(bundle: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(bundle)])

    assert result.exit_code == 0
    assert result.stdout == ""
    assert "digest and signature are right" in result.stderr


def test_a_changed_model_file_is_found(bundle: Path) -> None:
    model = bundle / "model.onnx"
    model.write_bytes(model.read_bytes() + b"x")

    with pytest.raises(DigestMismatch, match="copy the bundle again"):
        open_bundle(bundle)


def test_a_graph_that_differs_from_the_manifest_is_found(
    tmp_path: Path, manifest: ModelManifest, graph: onnx.ModelProto
) -> None:
    fewer = manifest.signature.model_copy(update={"outputs": manifest.signature.outputs[:2]})
    wrong = manifest.model_copy(update={"signature": fewer})
    bundle = write_bundle(tmp_path, wrong, graph.SerializeToString())

    with pytest.raises(SignatureMismatch, match="activation_map"):
        open_bundle(bundle)


def test_a_bundle_in_the_wrong_folder_is_found(bundle: Path) -> None:
    moved = bundle.rename(bundle.with_name("2"))

    with pytest.raises(VerificationError, match="tiny/2 holds the manifest of tiny version 1"):
        open_bundle(moved)


def test_the_command_prints_one_json_line_per_image(bundle: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    image.write_bytes(as_jpeg(synthetic_radiograph(rows=64, columns=64)))

    result = run("verify", str(bundle), str(image))

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["file"] == "a.jpg"


def test_the_command_ends_with_one_clear_line_where_a_bundle_is_wrong(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()

    result = run("verify", str(bundle))

    assert result.returncode == 1
    assert result.stderr.splitlines() == ["pneumo-export: tiny/1 has no model.onnx."]


def test_the_command_names_an_image_that_is_not_there(bundle: Path, tmp_path: Path) -> None:
    result = run("verify", str(bundle), str(tmp_path / "absent.jpg"))

    assert result.returncode == 2
    assert "absent.jpg" in result.stderr
    assert "Traceback" not in result.stderr


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "export", *arguments]
    # Wide enough that no path is broken into lines.
    environment = {**os.environ, "COLUMNS": "400"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
