import json
from pathlib import Path

import pytest
import yaml

from service.app import create_api, create_app
from service.errors import ProblemType
from service.openapi import EXAMPLE_ANSWER, Document, to_yaml, write_document
from service.schemas import PredictionBody
from service.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = {"type": "string", "format": "binary", "minLength": 1}
NEVER_ON_PREDICT = {
    "not-found",
    "method-not-allowed",
    "client-disconnected",
    "malformed-inference",
    "malformed-request",
    "no-audit-trail",
    "reload-refused",
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
        ("post", "/predict/image"),
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
    files, image = (
        document["paths"][path]["post"]["requestBody"]["content"]
        for path in ("/predict", "/predict/image")
    )

    # A generator that finds several media types for one operation writes a client that sends JSON.
    assert list(files) == ["multipart/form-data"]
    part = files["multipart/form-data"]["schema"]["properties"]["file"]
    assert (part["type"], part["items"]) == ("array", {"type": "string", "format": "binary"})
    assert image == {"application/octet-stream": {"schema": BINARY}}


def test_an_answer_may_grow_without_breaking_a_client(document: Document) -> None:
    schemas = document["components"]["schemas"]

    answer = schemas["ImageAnswer"]["properties"]
    assert not any("additionalProperties" in schema for schema in schemas.values())
    for field in ("decision", "reasons"):
        word = answer[field].get("items", answer[field])
        assert word["type"] == "string"
        assert "enum" not in word
    assert "`refer`; there may be more" in answer["decision"]["description"]
    assert "`out_of_distribution`" in answer["reasons"]["items"]["description"]


def test_a_result_is_told_apart_by_its_status(document: Document) -> None:
    results = document["components"]["schemas"]["PredictionBody"]["properties"]["results"]

    assert results["items"]["discriminator"] == {
        "propertyName": "status",
        "mapping": {
            "ok": "#/components/schemas/ImageAnswer",
            "error": "#/components/schemas/ImageRejection",
        },
    }


def test_every_operation_has_a_described_tag_and_says_who_may_call_it(document: Document) -> None:
    described = {tag["name"] for tag in document["tags"]}
    operations = [each for path in document["paths"].values() for each in path.values()]

    assert document["servers"]
    assert all(set(operation["tags"]) <= described for operation in operations)
    assert all("security" in operation for operation in operations)


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
    assert examples >= {kind.slug for kind in ProblemType} - NEVER_ON_PREDICT


EXAMPLE = json.loads(EXAMPLE_ANSWER.read_bytes())


def test_the_example_of_an_answer_is_one() -> None:
    assert PredictionBody.model_validate(EXAMPLE).model_dump(exclude_unset=True) == EXAMPLE


def test_the_documented_example_is_whole(document: Document) -> None:
    for path in ("/predict", "/predict/image"):
        content = document["paths"][path]["post"]["responses"]["200"]["content"]
        assert content["application/json"]["example"] == EXAMPLE


def test_a_key_is_described_as_something_that_may_be_asked_for(document: Document) -> None:
    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    assert document["paths"]["/predict"]["post"]["security"] == [{"ApiKey": []}, {}]
    assert document["paths"]["/health"]["get"]["security"] == []


def test_the_yaml_has_no_aliases(document: Document) -> None:
    tokens = yaml.scan(to_yaml(document))

    assert not any(isinstance(token, yaml.AliasToken) for token in tokens)
