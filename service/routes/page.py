"""``GET /``: the page for people, built by Vite from ``web/`` into ``service/page``.

Serving needs no Node: the committed build is read once and kept in memory, plain and compressed.
"""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from service.runtime import runtime_of

router = APIRouter(include_in_schema=False)

BUILT = Path(__file__).resolve().parents[1] / "page"
INDEX = "index.html"
# Vite names every asset by its content, so that a name never changes its meaning.
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
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
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "img-src 'self' blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the built page."""

    plain: bytes
    compressed: bytes
    media_type: str
    etag: str
    cache_control: str


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """Serve the page."""
    return await _serve(request, INDEX)


@router.api_route("/assets/{name}", methods=["GET", "HEAD"])
async def asset(request: Request, name: str) -> Response:
    """Serve a file of the page: a script, a style, a drawing or a decoder."""
    return await _serve(request, f"assets/{name}")


@cache
def built_assets() -> Mapping[str, Asset]:
    """Read the built page, by path below ``service/page``; no other file is ever looked for."""
    return {
        file.relative_to(BUILT).as_posix(): _read(file)
        for file in sorted(BUILT.rglob("*"))
        if file.suffix in MEDIA_TYPES
    }


async def _serve(request: Request, name: str) -> Response:
    found = (await asyncio.to_thread(built_assets)).get(name)
    if found is None:
        raise HTTPException(404)
    headers = {
        **_security(runtime_of(request).settings.page_gateway),
        "Cache-Control": found.cache_control,
        "ETag": found.etag,
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    content = found.plain
    if _TAKES_GZIP.search(request.headers.get("accept-encoding", "").lower()):
        headers["Content-Encoding"], content = "gzip", found.compressed
    return Response(content, media_type=found.media_type, headers=headers)


@cache
def _security(gateway: str | None) -> Mapping[str, str]:
    """The headers of every file of the page, which may ask this service and the gateway alone."""
    policy = SECURITY["Content-Security-Policy"]
    allowed = policy.replace("connect-src 'self'", f"connect-src 'self' {gateway}")
    return SECURITY | {"Content-Security-Policy": allowed} if gateway else SECURITY


def _read(file: Path) -> Asset:
    plain = file.read_bytes()
    return Asset(
        plain=plain,
        compressed=gzip.compress(plain, mtime=0),
        media_type=MEDIA_TYPES[file.suffix],
        etag=f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"',
        cache_control=REVALIDATE if file.name == INDEX else IMMUTABLE,
    )
