"""The OpenAPI document: written from the routes, the same whatever the settings are."""

from typing import Any

import orjson
import yaml
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from service.errors import ProblemType, problem_types
from service.problems import MEDIA_TYPE
from service.schemas import Problem

Document = dict[str, Any]
RAW_TYPES = (
    "image/jpeg",
    "image/png",
    "image/tiff",
    "application/dicom",
    "application/octet-stream",
)
# `format: binary` is what client generators know; without it they send the file as text.
_BINARY = {"type": "string", "format": "binary"}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}

PREDICT_BODY: Document = {
    "requestBody": {
        "required": True,
        "description": "One or more files, or one image as it is. The content decides the format.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "description": "Only parts named `file` are read. Others are ignored.",
                    "properties": {"file": {"type": "array", "minItems": 1, "items": _BINARY}},
                }
            },
            **{media_type: {"schema": _BINARY} for media_type in RAW_TYPES},
        },
    }
}


def problem_responses(*statuses: int) -> dict[int | str, Document]:
    """Document the problem details that a route answers.

    Args:
        statuses: Of the problems that can happen on it; 500 is always among them.
    """
    kinds = list(problem_types().values())
    return {
        status: _problem_response([kind for kind in kinds if kind.status == status])
        for status in (*statuses, 500)
    }


def query_parameters(query: type[BaseModel]) -> Document:
    """Document the parameters of a query that a route reads by itself.

    Args:
        query: Its fields are the parameters; none of them is required.
    """
    properties = query.model_json_schema()["properties"]
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": schema.pop("description"),
                "schema": {key: value for key, value in schema.items() if key != "title"},
            }
            for name, schema in properties.items()
        ]
    }


def write_document(app: FastAPI) -> Document:
    """Write the OpenAPI document of an application's routes."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        license_info=app.license_info,
        tags=app.openapi_tags,
        routes=app.routes,
    )
    schemas = document["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema()
    for schema in schemas.values():
        schema.pop("title", None)
    for operation in _operations(document):
        _share_problems(operation["responses"], document["components"])
        if "security" in operation:
            # Where the operator has configured no keys, none is asked for.
            operation["security"].append({})
    return document


def to_yaml(document: Document) -> str:
    """Write a document as YAML, in its own order."""
    # Through JSON, so that what the document shares is written out and not as an alias.
    plain = orjson.loads(orjson.dumps(document))
    text: str = yaml.dump(
        plain, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=100
    )
    return text


def _operations(document: Document) -> list[Document]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def _share_problems(responses: Document, components: Document) -> None:
    """Move problem responses, the same for every route, to where all can refer to them."""
    for status, response in responses.items():
        if MEDIA_TYPE in response.get("content", {}):
            name = f"Problem{status}"
            components.setdefault("responses", {})[name] = response
            responses[status] = {"$ref": f"#/components/responses/{name}"}


def _problem_response(kinds: list[ProblemType]) -> Document:
    schema = {"$ref": "#/components/schemas/Problem"}
    examples = {
        kind.slug: {
            "value": {
                "type": f"/problems/{kind.slug}",
                "title": kind.title,
                "status": kind.status,
                "detail": f"{kind.title}.",
                "instance": "urn:request:0199a3c4-5f1e-7c3b-9d2a-6b8f0e1d2c3b",
            }
        }
        for kind in kinds
    }
    response: Document = {
        "description": ". ".join(kind.title for kind in kinds) + ".",
        "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}},
    }
    if kinds[0].status in (429, 503):
        response["headers"] = _RETRY_AFTER
    return response
