import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.errors import InvalidManifest, SignatureMismatch
from contract.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    OOD_EDGES,
    ModelManifest,
    OutOfDistribution,
    Reference,
    SourceEvidence,
    TensorSpec,
    classifier_signature,
    is_segmenter,
    read_manifest,
    read_segmenter,
    read_verified_model,
    sha256_digest,
)
from tests.bundles import OPERATING_POINT, make_manifest, make_variant

MODEL = b"a graph"
DIGESTS = sha256_digest(MODEL), "sha256:" + 64 * "1"


@pytest.fixture
def manifest() -> ModelManifest:
    return make_manifest(DIGESTS[0], "xray-pneumonia", 3)


@pytest.fixture
def bundle(tmp_path: Path, manifest: ModelManifest) -> Path:
    folder = tmp_path / "xray-pneumonia" / "3"
    folder.mkdir(parents=True)
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json())
    (folder / MODEL_FILE).write_bytes(MODEL)
    return folder


def test_labels_points_and_codes_come_in_output_order(manifest: ModelManifest) -> None:
    assert manifest.labels == ("normal", "pneumonia")
    assert manifest.answers
    assert manifest.operating_points == (OPERATING_POINT, OPERATING_POINT)
    assert [finding.code.code for finding in manifest.findings] == ["17621005", "233604007"]


@pytest.mark.parametrize("file", [MANIFEST_FILE, MODEL_FILE])
def test_a_file_that_is_missing_or_none_makes_the_bundle_invalid(bundle: Path, file: str) -> None:
    (bundle / file).unlink()

    with pytest.raises(InvalidManifest, match=f"xray-pneumonia/3 has no {file}"):
        read_verified_model(bundle, read_manifest(bundle))
    (bundle / file).mkdir()
    with pytest.raises(InvalidManifest, match="cannot be read"):
        read_verified_model(bundle, read_manifest(bundle))
    assert not is_segmenter(bundle)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"{}"])
def test_a_manifest_that_is_none_is_invalid(bundle: Path, content: bytes) -> None:
    (bundle / MANIFEST_FILE).write_bytes(content)

    with pytest.raises(InvalidManifest, match=r"^xray-pneumonia/3/manifest\.json: "):
        read_manifest(bundle)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema_version", 2),
        ("name", "../etc"),
        ("version", 0),
        ("intended_use", "Diagnosis."),
        ("digest", "md5:00"),
        ("modalities", []),
        ("body_parts", []),
        ("findings", []),
        ("temperature", 0),
        ("colour", "blue"),
    ],
)
def test_a_manifest_that_does_not_hold_together_is_invalid(
    bundle: Path, key: str, value: object
) -> None:
    content = json.loads((bundle / MANIFEST_FILE).read_text()) | {key: value}
    (bundle / MANIFEST_FILE).write_text(json.dumps(content))

    with pytest.raises(InvalidManifest, match=key):
        read_manifest(bundle)


MANIFEST = make_manifest(DIGESTS[0])
FAMILIAR = OutOfDistribution(limit=4.2, method="Mahalanobis distance")
SOURCE = SourceEvidence(
    name="hospital",
    findings=MANIFEST.labels,
    images=dict.fromkeys(MANIFEST.labels, 40),
    calls=dict.fromkeys(MANIFEST.labels, (30, 27)),
    auroc=(0.9, 0.8, 0.95),
    accuracy=(0.9, 0.8, 0.95),
    answered=0.75,
)
SCORING = classifier_signature(MANIFEST.preprocessing, 2, (4, 4), ood_score=True)
TELLING_SOURCES = classifier_signature(MANIFEST.preprocessing, 2, (4, 4), sources=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"findings": [MANIFEST.findings[0]] * 2}, "a label stands twice"),
        ({"variants": [make_variant("int8", each) for each in DIGESTS]}, "a precision stands"),
        ({"out_of_distribution": FAMILIAR}, "need each other"),
        ({"signature": SCORING}, "need each other"),
        ({"evidence": (SOURCE,)}, "need each other"),
        ({"signature": TELLING_SOURCES}, "need each other"),
    ],
    ids=["label", "precision", "limit", "score", "evidence", "distance"],
)
def test_parts_that_contradict_each_other_are_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelManifest(**MANIFEST.model_dump() | changes)


def test_the_nearest_source_supports_an_answer_within_its_limit() -> None:
    known = ModelManifest(
        **MANIFEST.model_dump() | {"evidence": (SOURCE,), "signature": TELLING_SOURCES}
    )

    assert known.sources == {"hospital": MANIFEST.labels}
    assert known.nearest_source([0.4]).supports("normal")
    assert not known.nearest_source([1.2]).supports("normal")


def test_a_manifest_from_before_there_were_limits_has_none(bundle: Path) -> None:
    content = json.loads((bundle / MANIFEST_FILE).read_text())
    del content["quality"], content["out_of_distribution"]
    del content["metrics"][0]["label"], content["metrics"][0]["source"]
    (bundle / MANIFEST_FILE).write_text(json.dumps(content))

    manifest = read_manifest(bundle)

    assert (manifest.quality, manifest.out_of_distribution) == (None, None)
    assert (manifest.metrics[0].label, manifest.metrics[0].source) == (None, None)


def test_the_signature_of_the_graph_may_come_in_any_order(manifest: ModelManifest) -> None:
    signature = manifest.signature

    manifest.check_signature(signature.inputs, reversed(signature.outputs))


def test_a_missing_output_or_an_input_of_another_size_is_a_mismatch(
    manifest: ModelManifest,
) -> None:
    inputs, outputs = manifest.signature.inputs, manifest.signature.outputs
    other = TensorSpec(name="image", dtype="uint8", shape=("batch", 224, 224, 1))

    for fewer in (outputs[:0], outputs[:2]):
        with pytest.raises(SignatureMismatch, match="outputs are"):
            manifest.check_signature(inputs, fewer)
    with pytest.raises(SignatureMismatch, match=r"image uint8 \['batch', 224, 224, 1\]"):
        manifest.check_signature([other], outputs)


@pytest.mark.parametrize(
    ("modalities", "reads"), [(("CT",), False), (("CR", "OT"), True), (("CT", "DX"), True)]
)
def test_a_model_reads_radiographs_where_it_takes_one_of_their_modalities(
    manifest: ModelManifest, modalities: tuple[str, ...], *, reads: bool
) -> None:
    assert manifest.model_copy(update={"modalities": modalities}).reads_radiographs == reads


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"kind": "classifier"}'])
def test_another_manifest_is_that_of_no_segmenter(tmp_path: Path, content: str) -> None:
    bundle = tmp_path / "lungs" / "1"
    bundle.mkdir(parents=True)
    (bundle / MANIFEST_FILE).write_text(content)

    assert not is_segmenter(bundle)
    with pytest.raises(InvalidManifest, match=r"lungs/1/manifest\.json"):
        read_segmenter(bundle)


def test_a_reference_has_a_share_for_each_edge() -> None:
    shares = (0.5,) * len(OOD_EDGES)

    assert Reference(probability={}, ood_share=shares).ood_share == shares
    with pytest.raises(ValidationError, match="one share for each edge"):
        Reference(probability={}, ood_share=shares[1:])
