"""Errors as HTTP answers: ``application/problem+json``. Source: RFC 9457."""

import http
from collections.abc import Iterator, Mapping
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
from service.errors import ProblemType, ServiceError, problem_type

MEDIA_TYPE = "application/problem+json"
INFERENCE_PROTOCOL = "/v2"
ANSWERED = (ContractError, ServiceError, RequestValidationError, HTTPException)
_FRAMEWORK = {
    # A body that is not even text, which is no other error than one that is no JSON.
    400: ProblemType.INVALID_PARAMETER,
    404: ProblemType.NOT_FOUND,
    405: ProblemType.METHOD_NOT_ALLOWED,
}
_MAX_NAME = 40


def describe(error: Exception, request_id: str) -> dict[str, object]:
    """Write a problem detail, as ``schemas.Problem`` describes it."""
    kind = _kind(error)
    if kind is not None:
        address, title, status = f"/problems/{kind.slug}", kind.title, kind.status
    else:
        # Source: RFC 9457 section 4.2.1 (a problem that the status says all of).
        status = cast("HTTPException", error).status_code
        address, title = "about:blank", http.HTTPStatus(status).phrase
    if kind is ProblemType.INTERNAL:
        # What is unforeseen says nothing of the inside.
        detail = "The request failed. Give the operator its X-Request-ID, a header of this answer."
    elif isinstance(error, RequestValidationError):
        detail = f"{'; '.join(_wrong(error))}."
    elif isinstance(error, HTTPException):
        detail = "The body is no JSON." if kind is ProblemType.INVALID_PARAMETER else f"{title}."
    else:
        detail = str(error)
    return {
        "type": address,
        "title": title,
        "status": status,
        "detail": detail,
        # Source: RFC 8141 section 2 (what may stand in a URN as it is).
        "instance": f"urn:request:{quote(request_id, safe='')}",
    }


def _wrong(error: RequestValidationError) -> Iterator[str]:
    """Say what is wrong with each parameter; of one that may be absent, not that it is not."""
    for each in error.errors():
        *_, name = (part for part in map(str, each["loc"]) if not part.startswith("literal["))
        if each["type"] != "none_required":
            yield f"{name[:_MAX_NAME]}: {each['msg']}"


def error_response(error: Exception, request_id: str) -> Response:
    """Answer an error with its own status."""
    kind, headers = _kind(error), dict(getattr(error, "headers", None) or {})
    if retry_after_s := getattr(error, "retry_after_s", None):
        headers["Retry-After"] = str(retry_after_s)
    if kind is ProblemType.UNAUTHENTICATED:
        # Source: RFC 6750 section 3.
        headers["WWW-Authenticate"] = 'Bearer realm="pneumoscope"'
    if kind in (ProblemType.BODY_TIMEOUT, ProblemType.SHUTTING_DOWN):
        # Source: RFC 9110 section 15.5.9; a service that stops answers nothing more here.
        headers["Connection"] = "close"
    return _ProblemResponse(describe(error, request_id), headers)


def install(app: FastAPI) -> None:
    """Have an application answer every error with a problem detail."""

    async def answer(request: Request, error: Exception) -> Response:
        return error_response(error, request_id_of(request.scope))

    for kind in ANSWERED:
        app.add_exception_handler(kind, answer)


def request_id_of(scope: Scope) -> str:
    """The identifier that the middleware gave a request."""
    return cast("str", scope["state"]["request_id"])


def _kind(error: Exception) -> ProblemType | None:
    """What kind of problem an error is; None where the framework's status says all of it."""
    if isinstance(error, HTTPException):
        return _FRAMEWORK.get(error.status_code)
    if isinstance(error, RequestValidationError):
        return ProblemType.INVALID_PARAMETER
    return problem_type(error)


class _ProblemResponse(Response):
    """A problem detail, which also tells the middleware what problem it is.

    Where a client speaks the Open Inference Protocol, it is that protocol's error instead.
    """

    media_type = MEDIA_TYPE

    def __init__(self, problem: dict[str, object], headers: Mapping[str, str]) -> None:
        super().__init__(orjson.dumps(problem), cast("int", problem["status"]), headers)
        self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["problem"] = str(self._problem["type"]).removeprefix("/problems/")
        if f"{scope['path']}/".startswith(f"{INFERENCE_PROTOCOL}/"):
            self.body = orjson.dumps({"error": self._problem["detail"]})
            self.headers["Content-Type"] = "application/json"
            self.headers["Content-Length"] = str(len(self.body))
        await super().__call__(scope, receive, send)
