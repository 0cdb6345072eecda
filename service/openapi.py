"""The OpenAPI document, written from the routes, and a page to try it on.

It is the same whatever the settings are, and comes from this host alone: hospitals are air-gapped.
"""

import importlib.resources
from pathlib import Path as FilePath
from typing import Annotated, Any

import orjson
import yaml
from fastapi import FastAPI, Path, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.staticfiles import StaticFiles

from service.errors import ProblemType
from service.headers import JSON
from service.problems import MEDIA_TYPE
from service.schemas import PredictQuery, Problem

Document = dict[str, Any]
Name = Annotated[str, Path(min_length=1, max_length=64, description="Its name.")]
Version = Annotated[int, Path(ge=1, description="The version of the model.")]
# `format: binary` is what client generators know; without it they send the file as text.
_BINARY = {"type": "string", "format": "binary", "minLength": 1}
EXAMPLE_ANSWER = FilePath(__file__).with_name("example-answer.json")
TAGS = (
    {"name": "prediction", "description": "Images in, findings out."},
    {"name": "health", "description": "Probes for people and orchestrators; no key is needed."},
    {"name": "models", "description": "What is served, and how it was measured."},
    {"name": "admin", "description": "Changes of what is served."},
    {"name": "operation", "description": "Metrics, and the kinds of problems."},
)
YAML = "application/yaml"
ASSETS = "docs/assets"
# Swagger UI starts from a script within the page, and draws its icons from data addresses.
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'"
)
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}

# One media type for each operation: of several, generators write clients that send the wrong one.
IMAGE_BODY: Document = {
    "requestBody": {
        "required": True,
        "description": "One image file. Its content decides the format, whatever the type says.",
        "content": {"application/octet-stream": {"schema": _BINARY}},
    }
}


def problem_responses(*statuses: int) -> dict[int | str, Document]:
    """Document the problem details that a route answers, with those that any does."""
    # The routes of the inference protocol are not in this document; what is no HTTP has no route.
    others = (ProblemType.MALFORMED_INFERENCE, ProblemType.MALFORMED_REQUEST)
    kinds = [kind for kind in ProblemType if kind not in others]
    return {
        status: _problem_response([kind for kind in kinds if kind.status == status])
        for status in (*statuses, 406, 408, 421, 431, 500)
    }


def query_parameters(query: type[BaseModel]) -> Document:
    """Document the parameters, none of them required, of a query that a route reads by itself."""
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": schema.pop("description"),
                "schema": _named(name, schema),
            }
            for name, schema in _properties(query).items()
        ]
    }


def form_body(query: type[BaseModel]) -> Document:
    """Document a form of files, which has the parameters of a query as its other fields."""
    # An empty file is no reason to refuse the others: it gets a problem in its place.
    file = {key: value for key, value in _BINARY.items() if key != "minLength"}
    files = {"type": "array", "minItems": 1, "items": file}
    fields = {}
    for name, schema in _properties(query).items():
        # Generated clients would send it, and it may not be what the query says.
        schema.pop("default", None)
        fields[name] = _named(name, schema)
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "description": "Images, and the same parameters as in the query.",
                        "properties": {"file": files, **fields},
                        "additionalProperties": False,
                    }
                }
            },
        }
    }


def _properties(query: type[BaseModel]) -> dict[str, Document]:
    properties = query.model_json_schema()["properties"].items()
    return {
        name: {key: value for key, value in schema.items() if key != "title"}
        for name, schema in properties
    }


def _named(name: str, schema: Document) -> Document:
    """Refer to the words of a parameter, which stand in the query and in a form.

    Generators name the type of words that stand in both places twice, which does not compile.
    """
    if "enum" not in schema:
        return schema
    kept = {key: value for key, value in schema.items() if key not in ("enum", "type")}
    return {"allOf": [{"$ref": f"#/components/schemas/{name.capitalize()}"}], **kept}


def write_document(app: FastAPI) -> Document:
    """Write the OpenAPI document of an application's routes."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        license_info=app.license_info,
        tags=list(TAGS),
        # Relative to the document, so that it holds for any host.
        servers=[{"url": "/", "description": "The service that this document came from."}],
        routes=app.routes,
    )
    schemas = document["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema()
    document["components"]["schemas"] = {
        name: _open({key: part for key, part in schema.items() if key != "title"})
        for name, schema in schemas.items()
    }
    for name, schema in _properties(PredictQuery).items():
        if "enum" in schema:
            words = {"type": "string", "enum": schema["enum"]}
            document["components"]["schemas"][name.capitalize()] = words
    operations = (each for path in document["paths"].values() for each in path.values())
    for operation in operations:
        _share_problems(operation["responses"], document["components"])
        # Where the operator has configured no keys, none is asked for.
        operation["security"] = [*operation["security"], {}] if "security" in operation else []
    # Written here because FastAPI leaves out of an example what is null.
    example = orjson.loads(EXAMPLE_ANSWER.read_bytes())
    for path in ("/predict", "/predict/image"):
        answer = document["paths"][path]["post"]["responses"]["200"]["content"]
        answer["application/json"]["example"] = example
    return document


def to_yaml(document: Document) -> str:
    """Write a document as YAML, in its own order."""
    # Through JSON, so that what the document shares is written out and not as an alias.
    plain = orjson.loads(orjson.dumps(document))
    text: str = yaml.dump(
        plain, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=100
    )
    return text


def add_docs(app: FastAPI) -> None:
    """Write the document of the routes that an application has so far, and serve it."""
    document = write_document(app)
    as_json, as_yaml = orjson.dumps(document), to_yaml(document)
    # Relative addresses work behind a proxy's path prefix too.
    page = get_swagger_ui_html(
        title=app.title,
        openapi_url="openapi.json",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon.png",
    ).body

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi_json() -> Response:
        return Response(as_json, media_type=JSON)

    @app.get("/openapi.yaml", include_in_schema=False)
    async def openapi_yaml() -> Response:
        return Response(as_yaml, media_type=YAML)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        headers = {"Content-Security-Policy": _PAGE_POLICY}
        return Response(page, media_type="text/html", headers=headers)

    assets = importlib.resources.files("fastapi_offline") / "static"
    app.mount(f"/{ASSETS}", StaticFiles(directory=str(assets)), name="docs-assets")


def _open(schema: Document) -> Document:
    """Describe part of an answer so that a new field, or a new word, breaks no client.

    The models behind it stay closed, so that tests find what is not documented.
    """
    opened = {key: value for key, value in schema.items() if key != "additionalProperties"}
    if "properties" in opened:
        opened["properties"] = {name: _open(part) for name, part in schema["properties"].items()}
    if "items" in opened:
        opened["items"] = _open(schema["items"])
    if words := _words(schema):
        known = ", ".join(f"`{word}`" for word in words)
        said = opened.get("description", "")
        opened["description"] = f"{said} Known values: {known}; there may be more.".strip()
        opened["type"] = "string"
        opened.pop("enum", None)
        opened.pop("anyOf", None)
    elif "anyOf" in opened:
        opened["anyOf"] = [_open(part) for part in schema["anyOf"]]
    return opened


def _words(schema: Document) -> list[str]:
    """The words that a string may be; none where it may be another string, or another type."""
    if "anyOf" not in schema:
        words: list[str] = schema.get("enum", [])
        return words
    parts = [
        part.get("enum", [part["const"]] if "const" in part else []) for part in schema["anyOf"]
    ]
    return [word for words in parts for word in words] if all(parts) else []


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


ONE_MODEL = problem_responses(401, 403, 404, 422, 503)
"""What can go wrong on a route that names a model."""
