"""Errors as HTTP answers: ``application/problem+json``.

Source: RFC 9457.
"""

import http
from collections.abc import Awaitable, Callable, Mapping
from typing import cast
from urllib.parse import quote

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from contract.errors import ContractError
from service.errors import (
    INTERNAL,
    INVALID_PARAMETER,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    ProblemType,
    ServiceError,
    ShuttingDown,
    problem_type,
)

MEDIA_TYPE = "application/problem+json"
INFERENCE_PROTOCOL = "/v2"
REALM = 'Bearer realm="pneumoscope"'
_UNFORESEEN = "The request failed. Give the operator its X-Request-ID, a header of this answer."
_HTTP_PROBLEMS = {kind.status: kind for kind in (NOT_FOUND, METHOD_NOT_ALLOWED)}
_MAX_NAME = 40
# Source: RFC 9457 section 4.2.1 (a problem that the status says all of).
_NO_TYPE = "about:blank"


def describe(error: Exception, request_id: str) -> dict[str, object]:
    """Write a problem detail, as ``schemas.Problem`` describes it."""
    kind = problem_type(error)
    return _problem(kind, _detail(error, kind), request_id)


def error_response(error: Exception, request_id: str) -> Response:
    """Answer an error with its own status."""
    kind = problem_type(error)
    headers = {}
    if retry_after_s := getattr(error, "retry_after_s", None):
        headers["Retry-After"] = str(retry_after_s)
    if kind.status == http.HTTPStatus.UNAUTHORIZED:
        # Source: RFC 6750 section 3.
        headers["WWW-Authenticate"] = REALM
    if kind.status == http.HTTPStatus.REQUEST_TIMEOUT or isinstance(error, ShuttingDown):
        # Source: RFC 9110 section 15.5.9; a service that stops answers nothing more here.
        headers["Connection"] = "close"
    return _ProblemResponse(kind, _detail(error, kind), request_id, headers)


def install(app: FastAPI) -> None:
    """Have an application answer every error with a problem detail."""
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer an error as the application does where ``install`` was called.

    Raises:
        Exception: The error itself, where it is of a kind that nobody foresaw.
    """
    for kind, answer in _ANSWERS.items():
        if isinstance(error, kind):
            return await answer(request, error)
    raise error


def request_id_of(scope: Scope) -> str:
    """The identifier that the middleware gave a request."""
    return cast("str", scope["state"]["request_id"])


def speaks_inference_protocol(path: str) -> bool:
    """Whether a path is one of the Open Inference Protocol, whose errors have a form of their own.

    Source: Open Inference Protocol, HTTP/REST, inference response JSON error object.
    """
    return path == INFERENCE_PROTOCOL or path.startswith(f"{INFERENCE_PROTOCOL}/")


async def _on_own_error(request: Request, error: Exception) -> Response:
    return error_response(error, request_id_of(request.scope))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    """Say which parameter is wrong, and why."""
    failures = cast("RequestValidationError", error).errors()
    detail = "; ".join(f"{str(f['loc'][-1])[:_MAX_NAME]}: {f['msg']}" for f in failures)
    return _ProblemResponse(INVALID_PARAMETER, f"{detail}.", request_id_of(request.scope))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Dress what the framework raises, such as 404 and 405."""
    raised = cast("HTTPException", error)
    kind = _HTTP_PROBLEMS.get(raised.status_code)
    if kind is None:
        phrase = http.HTTPStatus(raised.status_code).phrase
        kind = ProblemType(raised.status_code, "", phrase)
    return _ProblemResponse(kind, f"{kind.title}.", request_id_of(request.scope), raised.headers)


def _detail(error: Exception, kind: ProblemType) -> str:
    """What is wrong in this case; what is unforeseen says nothing of the inside."""
    return _UNFORESEEN if kind is INTERNAL else str(error)


def _problem(kind: ProblemType, detail: str, request_id: str) -> dict[str, object]:
    return {
        "type": f"/problems/{kind.slug}" if kind.slug else _NO_TYPE,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        # Source: RFC 8141 section 2 (what may stand in a URN as it is).
        "instance": f"urn:request:{quote(request_id, safe='')}",
    }


_ANSWERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    ContractError: _on_own_error,
    ServiceError: _on_own_error,
    RequestValidationError: _on_validation_error,
    HTTPException: _on_http_exception,
}


class _ProblemResponse(Response):
    """A problem detail, which also tells the middleware what problem it is.

    Where a client speaks the Open Inference Protocol, it is that protocol's error instead.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        request_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(orjson.dumps(_problem(kind, detail, request_id)), kind.status, headers)
        self._slug = kind.slug or _NO_TYPE
        self._detail = detail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["problem"] = self._slug
        if speaks_inference_protocol(scope["path"]):
            self.body = orjson.dumps({"error": self._detail})
            self.headers["Content-Type"] = "application/json"
            self.headers["Content-Length"] = str(len(self.body))
        await super().__call__(scope, receive, send)
