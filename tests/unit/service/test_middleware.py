import asyncio
import io

import httpx
import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from service.logs import make_logger
from service.metrics import Metrics
from service.middleware import RequestContext
from service.problems import install
from service.tracing import Tracing


async def fails(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ValueError("doe^jane in /srv/models")


async def teapot() -> None:
    raise HTTPException(418, headers={"X-Tea": "green"})


async def fails_late(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ValueError("doe^jane in /srv/models")


def call(app: ASGIApp) -> tuple[httpx.Response, list[dict[str, object]], str]:
    output, metrics = io.BytesIO(), Metrics()
    wrapped = RequestContext(app, metrics, Tracing(), make_logger("info", output))

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(wrapped, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/doe", headers={"X-Request-ID": "42"})

    response = asyncio.run(request())
    events = [orjson.loads(line) for line in output.getvalue().splitlines()]
    return response, events, metrics.exposition().decode()


def test_what_nobody_foresaw_is_a_500_and_its_place_but_not_its_message_is_logged() -> None:
    response, (error, request), metrics = call(fails)

    assert response.status_code == 500
    assert response.json()["instance"] == "urn:request:42"
    assert (error["error"], error["request_id"]) == ("ValueError", "42")
    assert "test_middleware.fails:" in str(error["places"])
    assert (request["event"], request["status"], request["route"]) == ("request", 500, "unmatched")
    assert 'pneumoscope_requests_total{route="unmatched",status="500"} 1.0' in metrics
    assert "doe" not in f"{response.text}{error}{request}{metrics}"


def test_an_answer_that_has_begun_is_broken_off() -> None:
    response, (error, request), _ = call(fails_late)

    assert response.status_code == 200
    assert (error["error"], request["status"]) == ("ValueError", 200)


def test_a_status_of_the_framework_without_a_type_of_its_own_is_a_plain_problem() -> None:
    api = FastAPI()
    install(api)
    api.add_api_route("/doe", teapot)

    response, _, _ = call(api)

    assert response.status_code == 418
    assert response.headers["x-tea"] == "green"
    assert response.json()["type"] == "about:blank"
    assert response.json()["title"] == "I'm a Teapot"
