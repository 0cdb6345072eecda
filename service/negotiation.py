"""Refuses what no route could answer, before a byte of the body is read. Plain ASGI.

Source: RFC 6585 section 5 (431), RFC 9110 section 12.5.1 (Accept) and section 15.5.16 (415).
"""

import http

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ProblemType, ServiceError
from service.fhir_answer import wants_fhir
from service.headers import JSON, header_of
from service.origins import check_host, check_origin
from service.problems import error_response, request_id_of
from service.settings import Settings

MAX_HEADERS = 100
MAX_HEAD_BYTES = 16 * 1024
TOO_LARGE = f"A request may have {MAX_HEADERS} headers, and a head of {MAX_HEAD_BYTES} bytes."
_IMAGE_ROUTES = ("/predict", "/predict/image")


class Negotiation:
    """Checks a request's headers against what there is to be had, and by whom.

    It belongs inside of what gives every method and path its usual form.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Wrap an application."""
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            check_host(scope, self._settings)
            check_origin(scope, self._settings)
            _check(scope)
        except ServiceError as error:
            await error_response(error, request_id_of(scope))(scope, receive, send)
            return
        if scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        refused = False

        async def checked(message: Message) -> None:
            nonlocal refused
            error = _unacceptable(scope, message)
            if error is not None:
                refused = True
                await error_response(error, request_id_of(scope))(scope, receive, send)
            elif not refused:
                await send(message)

        await self._app(scope, receive, checked)


def accepts(accept: str, media_type: str) -> bool:
    """Whether an Accept header takes a media type: its most specific range decides."""
    essence = media_type.partition(";")[0].strip().lower()
    weights = {}
    for media_range in accept.lower().split(","):
        name, *parameters = (part.strip() for part in media_range.split(";"))
        weights[name] = next((p[2:] for p in parameters if p.startswith("q=")), "1")
    for name in (essence, f"{essence.partition('/')[0]}/*", "*/*"):
        if name in weights:
            return any(digit in weights[name] for digit in "123456789")
    return not accept.strip() or not essence


def _check(scope: Scope) -> None:
    headers = scope["headers"]
    size = sum(len(b": \r\n") + len(name) + len(value) for name, value in headers)
    size += len(scope["raw_path"]) + len(scope["query_string"])
    if len(headers) > MAX_HEADERS or size > MAX_HEAD_BYTES:
        raise ServiceError(ProblemType.HEADERS_TOO_LARGE, TOO_LARGE)
    if scope["method"] == "POST" and scope["path"] in _IMAGE_ROUTES:
        accept = header_of(scope, b"accept") or ""
        if not (accepts(accept, JSON) or wants_fhir(accept)):
            raise ServiceError(
                ProblemType.NOT_ACCEPTABLE, f"The answer is {JSON}, which Accept rules out."
            )
        _check_body(header_of(scope, b"content-type") or "")


def _unacceptable(scope: Scope, message: Message) -> ServiceError | None:
    """What is wrong with a message, where it begins an answer that the client cannot take."""
    if message["type"] != "http.response.start" or message["status"] != http.HTTPStatus.OK:
        return None
    given = dict(message["headers"]).get(b"content-type", b"").decode("latin-1")
    if accepts(header_of(scope, b"accept") or "", given):
        return None
    return ServiceError(
        ProblemType.NOT_ACCEPTABLE, f"The answer is {given}, which Accept rules out."
    )


def _check_body(content_type: str) -> None:
    essence = content_type.partition(";")[0].strip().lower()
    multipart = essence.startswith("multipart/") and essence != "multipart/form-data"
    if multipart or essence == JSON or essence.endswith("+json"):
        raise ServiceError(
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            "Send the image as the body, with its own type or application/octet-stream, "
            "or images as parts named 'file' of multipart/form-data.",
        )
