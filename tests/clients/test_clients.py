"""Clients that generators write from the OpenAPI document, and a stock one, upload for real."""

import json
from pathlib import Path

import pytest

from tests.clients.conftest import HERE, NODE_TOOLS, PYTHON_TOOLS, run
from tests.integration.live import Live

pytestmark = pytest.mark.clients
JAVA = HERE / "java"
PYTHON = HERE / "python"
NOT_AN_IMAGE = "/problems/not-an-image"


def expected(live: Live, image: Path) -> dict[str, object]:
    (result,) = live.predict(image.read_bytes()).json()["results"]
    decision = result["decision"]
    return {"files": [decision, NOT_AN_IMAGE], "whole": [decision], "problem": NOT_AN_IMAGE}


def test_openapi_python_client(live: Live, document: Path, image: Path, tmp_path: Path) -> None:
    generator = PYTHON_TOOLS / "openapi-python-client"
    run(generator, "generate", "--path", document, "--output-path", "generated", "--meta", "none",
        cwd=tmp_path)  # fmt: skip
    script = tmp_path / "upload.py"
    script.write_text((PYTHON / "with_openapi_python_client.py").read_text())

    told = run(PYTHON_TOOLS / "python", script, live.client.base_url, image, cwd=tmp_path)

    assert json.loads(told) == expected(live, image)


def test_openapi_generator_for_python(
    live: Live, document: Path, image: Path, tmp_path: Path
) -> None:
    generate(document, "python", tmp_path)
    script = tmp_path / "upload.py"
    script.write_text((PYTHON / "with_openapi_generator.py").read_text())

    told = run(PYTHON_TOOLS / "python", script, live.client.base_url, image, cwd=tmp_path)

    assert json.loads(told) == expected(live, image)


def test_openapi_generator_for_typescript(
    live: Live, document: Path, image: Path, typescript: Path
) -> None:
    generate(
        document,
        "typescript-fetch",
        typescript / "openapi_generator_generated",
        "--additional-properties=importFileExtension=.ts",
    )

    assert uploaded("openapi_generator.ts", live, image, typescript) == expected(live, image)


def test_openapi_fetch(live: Live, document: Path, image: Path, typescript: Path) -> None:
    schema = "openapi_fetch_generated/schema.d.ts"
    run(NODE_TOOLS / "openapi-typescript", document, "-o", schema, cwd=typescript)

    assert uploaded("openapi_fetch.ts", live, image, typescript) == expected(live, image)


def test_hey_api(live: Live, document: Path, image: Path, typescript: Path) -> None:
    generator = NODE_TOOLS / "openapi-ts"
    run(generator, "-i", document, "-o", "hey_api_generated", "-c", "@hey-api/client-fetch",
        cwd=typescript)  # fmt: skip

    assert uploaded("hey_api.ts", live, image, typescript) == expected(live, image)


def test_orval(live: Live, document: Path, image: Path, typescript: Path) -> None:
    run(NODE_TOOLS / "orval", "--input", document, "--output", "orval_generated/api.ts",
        "--client", "fetch", cwd=typescript)  # fmt: skip

    assert uploaded("orval.ts", live, image, typescript) == expected(live, image)


@pytest.mark.parametrize("path", ["/predict", "/predict/image"])
def test_the_http_client_of_java_as_it_comes(
    live: Live, image: Path, tmp_path: Path, path: str
) -> None:
    address = f"{live.client.base_url}{path}"

    status, body = run("java", JAVA / "Upload.java", address, image, cwd=tmp_path).splitlines()

    (result,) = json.loads(body)["results"]
    assert status == "200"
    assert [result["decision"]] == expected(live, image)["whole"]


@pytest.mark.parametrize(
    "linter",
    [
        ("spectral", "lint", "--ruleset", HERE / "spectral.yaml", "--fail-severity", "error"),
        ("redocly", "lint", "--extends", "recommended"),
    ],
    ids=["spectral", "redocly"],
)
def test_the_document_has_no_error(
    document: Path, tmp_path: Path, linter: tuple[object, ...]
) -> None:
    name, *arguments = linter

    run(NODE_TOOLS / str(name), *arguments, document, cwd=tmp_path)


def generate(document: Path, language: str, output: Path, *arguments: str) -> None:
    generator = PYTHON_TOOLS / "openapi-generator-cli"
    run(generator, "generate", "-i", document, "-g", language, "-o", output, *arguments,
        cwd=output.parent)  # fmt: skip


def uploaded(script: str, live: Live, image: Path, folder: Path) -> object:
    return json.loads(run(NODE_TOOLS / "tsx", script, live.client.base_url, image, cwd=folder))
