from datetime import UTC, datetime

import keras
import onnx
import pytest

from contract.manifest import (
    Finding,
    Metric,
    ModelManifest,
    Parity,
    Provenance,
    Signature,
    classifier_signature,
    sha256_digest,
)
from contract.preprocessing import PreprocessingSpec
from export.convert import convert
from training.config import read_recipe
from training.models import build_classifier, with_serving_outputs

SPEC = PreprocessingSpec(height=64, width=64)


@pytest.fixture(scope="session")
def serving_model() -> keras.Model:
    recipe = read_recipe("xray-pneumonia")
    small = recipe.model.model_copy(update={"width": 4})
    keras.utils.set_random_seed(0)
    model = build_classifier(recipe.model_copy(update={"preprocessing": SPEC, "model": small}))
    return with_serving_outputs(model, temperature=1.5)


@pytest.fixture(scope="session")
def signature(serving_model: keras.Model) -> Signature:
    return classifier_signature(SPEC, 2, serving_model.output["activation_map"].shape[1:3])


@pytest.fixture(scope="session")
def graph(serving_model: keras.Model, signature: Signature) -> onnx.ModelProto:
    return convert(serving_model, signature)


@pytest.fixture(scope="session")
def manifest(graph: onnx.ModelProto, signature: Signature) -> ModelManifest:
    findings = (("normal", 0.6), ("pneumonia", 0.4))
    return ModelManifest(
        name="tiny",
        version=1,
        summary="A small model for tests.",
        digest=sha256_digest(graph.SerializeToString()),
        signature=signature,
        preprocessing=SPEC,
        modalities=("DX",),
        body_parts=("CHEST",),
        findings=tuple(
            Finding.model_validate(
                {
                    "label": label,
                    "operating_point": point,
                    "operating_point_rule": "sensitivity 0.95",
                    "activation_scale": 2.0,
                }
            )
            for label, point in findings
        ),
        temperature=1.5,
        metrics=(Metric(dataset="test", name="auroc", value=0.9, lower=0.8, upper=0.95, images=9),),
        provenance=Provenance(
            recipe="tiny",
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
