from pathlib import Path

import pytest
import yaml

from service.app import create_api, create_app
from service.errors import problem_types
from service.examples import PREDICTION
from service.openapi import RAW_TYPES, Document, to_yaml, write_document
from service.schemas import PredictionBody
from service.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = {"type": "string", "format": "binary"}
NEVER_ON_PREDICT = {
    "not-found",
    "method-not-allowed",
    "client-disconnected",
    "malformed-inference",
    "reload-refused",
    "unsupported-encoding",
}


@pytest.fixture(scope="module")
def document() -> Document:
    return write_document(create_api())


def test_the_committed_document_is_the_applications() -> None:
    assert (REPOSITORY / "openapi.yaml").read_text() == to_yaml(write_document(create_api()))


def test_the_document_does_not_depend_on_settings(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PNEUMO_MAX_FILES", "3")
    app = create_app(Settings(max_pixels=7))

    assert write_document(app) == document


def test_every_route_of_the_contract_is_documented(document: Document) -> None:
    assert {
        (method, path) for path, methods in document["paths"].items() for method in methods
    } >= {
        ("post", "/predict"),
        ("get", "/health"),
        ("get", "/health/live"),
        ("get", "/health/ready"),
        ("get", "/models"),
        ("get", "/models/{name}"),
        ("get", "/models/{name}/versions/{version}"),
        ("get", "/metrics"),
        ("get", "/problems/{slug}"),
    }


def test_client_generators_are_told_that_files_are_binary(document: Document) -> None:
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]

    files = content["multipart/form-data"]["schema"]["properties"]["file"]
    assert files["type"] == "array"
    assert files["items"] == BINARY
    assert all(content[media]["schema"] == BINARY for media in RAW_TYPES)
    assert set(content) == {"multipart/form-data", *RAW_TYPES}


def test_every_problem_of_predict_is_documented_with_an_example(document: Document) -> None:
    shared = document["components"]["responses"]
    references = document["paths"]["/predict"]["post"]["responses"]

    examples = {
        slug
        for reference in references.values()
        if "$ref" in reference
        for slug in shared[reference["$ref"].rpartition("/")[2]]["content"][
            "application/problem+json"
        ]["examples"]
    }
    assert examples >= set(problem_types()) - NEVER_ON_PREDICT


def test_the_example_of_an_answer_is_one() -> None:
    assert PredictionBody.model_validate(PREDICTION).model_dump(exclude_unset=True) == PREDICTION


def test_a_key_is_described_as_something_that_may_be_asked_for(document: Document) -> None:
    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    assert document["paths"]["/predict"]["post"]["security"] == [{"ApiKey": []}, {}]
    assert "security" not in document["paths"]["/health"]["get"]


def test_the_yaml_has_no_aliases(document: Document) -> None:
    tokens = yaml.scan(to_yaml(document))

    assert not any(isinstance(token, yaml.AliasToken) for token in tokens)
