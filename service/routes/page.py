"""``GET /``: the page for people, built by Vite from ``web/`` into ``service/page``.

Serving needs no Node: the committed build is read once and kept in memory, plain and compressed.
"""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from service.runtime import runtime_of

router = APIRouter(include_in_schema=False)

BUILT = Path(__file__).resolve().parents[1] / "page"
INDEX = "index.html"
# Source: RFC 9110 section 12.5.3: a weight of 0 refuses a coding.
_TAKES_GZIP = re.compile(r"(^|,)\s*gzip\s*(,|$|;\s*q\s*=\s*(?!0(\.0*)?\s*(,|$))[01])")
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
# WebAssembly is for the decoders of JPEG 2000 and JPEG-LS. A worker is bound by the policy of its
# own script, so every file of the page carries it.
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'{gateway}; worker-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
SECURITY = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@router.get("/")
async def page(request: Request) -> Response:
    """Serve the page."""
    return await _serve(request, INDEX)


@router.get("/assets/{name}")
async def asset(request: Request, name: str) -> Response:
    """Serve a file of the page: a script, a style, a drawing or a decoder."""
    return await _serve(request, f"assets/{name}")


@cache
def built_assets() -> Mapping[str, tuple[bytes, bytes, str]]:
    """The built page, by path below ``service/page``: each file, compressed, and its entity tag."""
    files = [file for file in BUILT.rglob("*") if file.suffix in MEDIA_TYPES]
    return {file.relative_to(BUILT).as_posix(): _read(file.read_bytes()) for file in files}


def _read(plain: bytes) -> tuple[bytes, bytes, str]:
    etag = f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"'
    return plain, gzip.compress(plain, mtime=0), etag


async def _serve(request: Request, name: str) -> Response:
    assets = await asyncio.to_thread(built_assets)
    if name not in assets:
        raise HTTPException(404)
    plain, compressed, etag = assets[name]
    gateway = runtime_of(request).settings.page_gateway
    headers = {
        **SECURITY,
        # It may ask this service and the gateway alone.
        "Content-Security-Policy": _POLICY.format(gateway=f" {gateway}" if gateway else ""),
        # Vite names every asset by its content, so that a name never changes its meaning.
        "Cache-Control": "no-cache" if name == INDEX else "public, max-age=31536000, immutable",
        "ETag": etag,
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    content = plain
    if _TAKES_GZIP.search(request.headers.get("accept-encoding", "").lower()):
        headers["Content-Encoding"], content = "gzip", compressed
    return Response(content, media_type=MEDIA_TYPES[Path(name).suffix], headers=headers)
