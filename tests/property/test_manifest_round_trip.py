from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from contract.findings import CODES, Label
from contract.manifest import (
    Finding,
    Metric,
    ModelManifest,
    Parity,
    Provenance,
    classifier_signature,
    sha256_digest,
)
from contract.preprocessing import PreprocessingSpec

POSITIVE = st.floats(1e-300, 1e300)
COUNTS = st.integers(1, 10**9)
TEXT = st.text(max_size=20)
SPECS = st.builds(PreprocessingSpec, height=st.integers(8, 4096), width=st.integers(8, 4096))
LABELS = st.lists(st.sampled_from(list(CODES)), min_size=2, unique=True)


def finding(label: Label, point: float, scale: float) -> Finding:
    return Finding(
        label=label, operating_point=point, operating_point_rule="a rule", activation_scale=scale
    )


MANIFESTS = st.builds(
    lambda labels, points, **fields: ModelManifest(
        **fields, findings=tuple(map(finding, labels, points, points[::-1]))
    ),
    labels=LABELS,
    points=st.lists(st.floats(0, 1, exclude_min=True), min_size=len(CODES), max_size=len(CODES)),
    name=st.from_regex(r"[a-z0-9][a-z0-9-]{0,63}", fullmatch=True),
    version=COUNTS,
    summary=TEXT,
    digest=st.builds(sha256_digest, st.binary(max_size=8)),
    signature=st.builds(classifier_signature, SPECS, st.integers(2, 9), st.tuples(COUNTS, COUNTS)),
    preprocessing=SPECS,
    modalities=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    body_parts=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    temperature=POSITIVE,
    metrics=st.lists(
        st.builds(
            Metric,
            dataset=TEXT,
            name=TEXT,
            value=st.floats(0, 1),
            lower=st.floats(0, 1),
            upper=st.floats(0, 1),
            images=COUNTS,
        ),
        max_size=3,
    ).map(tuple),
    provenance=st.builds(
        Provenance,
        recipe=TEXT,
        dataset=TEXT,
        licence=TEXT,
        training_images=COUNTS,
        validation_images=COUNTS,
        data_digest=TEXT,
        git_revision=TEXT,
        framework=TEXT,
        trained_at=st.datetimes(timezones=st.just(UTC)),
    ),
    parity=st.builds(
        Parity, images=COUNTS, max_probability_difference=st.floats(0, 1), tolerance=POSITIVE
    ),
)


@given(MANIFESTS)
def test_a_manifest_survives_json(manifest: ModelManifest) -> None:
    assert ModelManifest.model_validate_json(manifest.model_dump_json()) == manifest


@given(MANIFESTS)
def test_a_manifest_s_own_signature_matches(manifest: ModelManifest) -> None:
    manifest.check_signature(manifest.signature.inputs, manifest.signature.outputs)
