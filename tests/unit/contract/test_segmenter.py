import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.errors import DigestMismatch, InvalidManifest, SignatureMismatch
from contract.manifest import (
    Metric,
    Parity,
    Provenance,
    SegmenterManifest,
    TensorSpec,
    is_segmenter,
    read_segmenter,
    segmenter_signature,
    sha256_digest,
)
from contract.preprocessing import PreprocessingSpec

MODEL = b"a graph"
SPEC = PreprocessingSpec(height=32, width=32)
MANIFEST = SegmenterManifest(
    name="lungs",
    version=1,
    summary="For tests.",
    digest=sha256_digest(MODEL),
    signature=segmenter_signature(SPEC),
    preprocessing=SPEC,
    metrics=(Metric(dataset="test", name="dice", value=0.9, lower=0.8, upper=1, images=9),),
    provenance=Provenance(
        recipe="lungs",
        dataset="synthetic radiographs",
        licence="Apache-2.0",
        training_images=4,
        validation_images=4,
        data_digest="sha256:0",
        git_revision="0",
        framework="keras",
        trained_at=datetime(2026, 1, 1, tzinfo=UTC),
    ),
    parity=Parity(images=4, max_probability_difference=1e-7, tolerance=1e-5),
)


def written(root: Path, manifest: str, model: bytes = MODEL) -> Path:
    bundle = root / "lungs" / "1"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").write_text(manifest)
    (bundle / "model.onnx").write_bytes(model)
    return bundle


def test_a_segmenter_is_read_as_it_was_written(tmp_path: Path) -> None:
    bundle = written(tmp_path, MANIFEST.model_dump_json())

    assert read_segmenter(bundle) == (MANIFEST, MODEL)
    assert is_segmenter(bundle)


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"kind": "classifier"}'])
def test_another_manifest_is_that_of_no_segmenter(tmp_path: Path, content: str) -> None:
    bundle = written(tmp_path, content)

    assert not is_segmenter(bundle)
    with pytest.raises(InvalidManifest, match=r"lungs/1/manifest\.json"):
        read_segmenter(bundle)


def test_a_folder_without_a_manifest_is_no_segmenter(tmp_path: Path) -> None:
    assert not is_segmenter(tmp_path)
    with pytest.raises(InvalidManifest, match=r"has no manifest\.json"):
        read_segmenter(tmp_path)


def test_a_changed_graph_is_refused(tmp_path: Path) -> None:
    bundle = written(tmp_path, MANIFEST.model_dump_json(), b"another graph")

    with pytest.raises(DigestMismatch, match="lungs/1"):
        read_segmenter(bundle)


def test_a_renamed_folder_is_refused(tmp_path: Path) -> None:
    bundle = written(tmp_path, json.dumps(MANIFEST.model_dump(mode="json") | {"version": 2}))

    with pytest.raises(InvalidManifest, match="Rename the folder"):
        read_segmenter(bundle)


def test_a_graph_with_another_signature_is_refused() -> None:
    inputs, outputs = MANIFEST.signature.inputs, MANIFEST.signature.outputs
    other = TensorSpec(name="lung_mask", dtype="float32", shape=("batch", 16, 16, 1))

    MANIFEST.check_signature(inputs, outputs)

    with pytest.raises(SignatureMismatch, match="lungs version 1"):
        MANIFEST.check_signature(inputs, (other,))
