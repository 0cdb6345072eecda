import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from contract.errors import DigestMismatch, SignatureMismatch
from contract.manifest import MANIFEST_FILE, read_manifest
from contract.quality import Limit, QualityLimits
from export.bundle import refresh_bundle
from export.cli import app
from export.errors import ExportError
from export.verify import answer, decide_all, open_bundle
from tests.bundles import write_bundle
from tests.synthetic import as_jpeg, as_png, synthetic_radiograph


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path)


def test_the_command_prints_one_json_line_per_image_in_order(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(as_jpeg(synthetic_radiograph(rows=300, columns=200)))
    (tmp_path / "b.png").write_bytes(as_png(synthetic_radiograph(rows=64, columns=64, seed=1)))

    result = run("verify", bundle, tmp_path / "b.png", tmp_path / "a.jpg")

    assert result.exit_code == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [item["file"] for item in answers] == ["b.png", "a.jpg"]
    for item in answers:
        assert sum(item["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("sizes", [[(64, 64)], [(64, 64)] * 3])
def test_each_answer_needs_the_size_of_its_file(bundle: Path, sizes: list[tuple[int, int]]) -> None:
    outputs = {"probabilities": np.full((2, 2), 0.5, np.float32)}

    with pytest.raises(ValueError, match="zip"):
        decide_all(read_manifest(bundle), outputs, sizes)


def test_a_graph_that_is_not_what_the_manifest_says_is_found(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    fewer = manifest.signature.model_copy(update={"outputs": manifest.signature.outputs[:2]})
    wrong = manifest.model_copy(update={"signature": fewer})
    (bundle / MANIFEST_FILE).write_text(wrong.model_dump_json())
    with pytest.raises(SignatureMismatch, match="activation_map"):
        open_bundle(bundle)
    with (bundle / "model.onnx").open("ab") as model:
        model.write(b"x")
    with pytest.raises(DigestMismatch, match="copy the bundle again"):
        open_bundle(bundle)


def test_limits_of_quality_need_a_graph_that_measures_it(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(as_png(synthetic_radiograph(rows=64, columns=64)))
    limits = QualityLimits(limits=(Limit(check="contrast", lower=0.001),))
    limited = read_manifest(bundle).model_copy(update={"quality": limits})
    (bundle / MANIFEST_FILE).write_text(limited.model_dump_json())

    with pytest.raises(ExportError, match="refresh"):
        answer(bundle, [tmp_path / "a.png"])
    list(refresh_bundle(bundle))

    assert answer(bundle.with_name("2"), [tmp_path / "a.png"])[0].decision.label


def test_the_command_verifies_without_an_image_and_ends_with_one_clear_line_where_it_cannot(
    bundle: Path,
) -> None:
    right = run("verify", bundle)
    (bundle / "model.onnx").unlink()
    wrong = run("verify", bundle)

    assert (right.exit_code, right.stdout) == (0, "")
    assert "digest and signature are right" in right.stderr
    assert wrong.exit_code == 1
    assert wrong.stderr.splitlines() == ["pneumo-export: tiny/1 has no model.onnx."]


def run(*arguments: object) -> Result:
    # Wide enough that no path is broken into lines.
    return CliRunner(env={"COLUMNS": "400"}).invoke(app, [str(word) for word in arguments])
