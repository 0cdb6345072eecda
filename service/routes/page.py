"""``GET /``: the page for people, built by Vite from ``web/`` into ``service/page``.

Serving needs no Node: the committed build is read once and kept in memory, plain and compressed.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

router = APIRouter(include_in_schema=False)

BUILT = Path(__file__).resolve().parents[1] / "page"
INDEX = "index.html"
# Vite names every asset by its content, so that a name never changes its meaning.
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
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
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY = {
    "Content-Security-Policy": _POLICY,
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
        **SECURITY,
        "Cache-Control": found.cache_control,
        "ETag": found.etag,
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    if _takes_gzip(request.headers) and len(found.compressed) < len(found.plain):
        headers["Content-Encoding"] = "gzip"
        return Response(found.compressed, media_type=found.media_type, headers=headers)
    return Response(found.plain, media_type=found.media_type, headers=headers)


def _read(file: Path) -> Asset:
    plain = file.read_bytes()
    return Asset(
        plain=plain,
        compressed=gzip.compress(plain, mtime=0),
        media_type=MEDIA_TYPES[file.suffix],
        etag=f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"',
        cache_control=REVALIDATE if file.name == INDEX else IMMUTABLE,
    )


def _takes_gzip(headers: Headers) -> bool:
    """Source: RFC 9110 section 12.5.3: a weight of 0 refuses a coding."""
    codings = map(_coding, headers.get("accept-encoding", "").split(","))
    return any(name == "gzip" and weight > 0 for name, weight in codings)


def _coding(text: str) -> tuple[str, float]:
    """Read a coding and its weight; one that cannot be read counts as 0."""
    name, *parameters = (part.strip() for part in text.lower().split(";"))
    pairs = (parameter.partition("=") for parameter in parameters)
    weights = [value.strip() for key, _, value in pairs if key.strip() == "q"]
    try:
        return name, float(weights[0]) if weights else 1.0
    except ValueError:
        return name, 0.0
