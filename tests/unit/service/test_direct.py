import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service import problems
from service.direct import DirectRoutes
from service.errors import NoFile, Unauthenticated

KEY = {"Authorization": "Bearer x"}
router = APIRouter()
images: list["weakref.ref[Image]"] = []


class Image:
    """Something whose end can be seen."""


class Identified:
    """Names every request, as the service's own middleware does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"request_id": "r-1"}
        await self._app(scope, receive, send)


async def key(request: Request) -> None:
    if "authorization" not in request.headers:
        raise Unauthenticated("A key is needed.")


@router.post("/work", dependencies=[Depends(key)])
async def work(request: Request) -> Response:
    image = Image()
    images.append(weakref.ref(image))
    body = await request.body()
    if body == b"unforeseen":
        raise ZeroDivisionError
    if not body:
        # As where a result holds the error that it is answered with: a cycle through this frame.
        error = NoFile("There is no file.")
        raise error
    return Response(body + str(request.scope["route"].path).encode())


def application(*, direct: bool) -> FastAPI:
    short_way = [Middleware(DirectRoutes, routes=router.routes)] if direct else []
    app = FastAPI(middleware=[Middleware(Identified), *short_way])
    app.include_router(router)
    problems.install(app)
    return app


async def ask(
    app: FastAPI, method: str, path: str, body: bytes, headers: dict[str, str]
) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, content=body, headers=headers)


@contextmanager
def without_garbage_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/work", b"image", KEY, 200),
        ("POST", "/work?a=b", b"image", KEY, 200),
        ("POST", "/work", b"", KEY, 422),
        ("POST", "/work", b"image", {}, 401),
        ("POST", "/work", b"unforeseen", KEY, 500),
        ("GET", "/work", b"", KEY, 405),
        ("HEAD", "/work", b"", KEY, 405),
        ("OPTIONS", "/work", b"", KEY, 405),
        ("POST", "/elsewhere", b"", KEY, 404),
    ],
)
def test_the_short_way_answers_as_the_long_one(
    method: str, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    short, long = (
        asyncio.run(ask(application(direct=direct), method, path, body, headers))
        for direct in (True, False)
    )

    assert short.status_code == status
    assert (short.status_code, short.content) == (long.status_code, long.content)
    assert short.headers == long.headers


@pytest.mark.parametrize("body", [b"image", b""])
def test_an_answered_request_keeps_no_image(body: bytes) -> None:
    images.clear()

    with without_garbage_collector():
        asyncio.run(ask(application(direct=True), "POST", "/work", body, KEY))
        kept = [image for image in images if image() is not None]

    assert len(images) == 1
    assert kept == []
