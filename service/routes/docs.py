"""The OpenAPI document, and a page to try it on, from this host alone: hospitals are air-gapped."""

import importlib.resources

import orjson
from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

from service.headers import JSON
from service.openapi import to_yaml, write_document

YAML = "application/yaml"
ASSETS = "docs/assets"
# Swagger UI starts from a script within the page, and draws its icons from data addresses.
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'"
)


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
