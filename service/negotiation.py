"""What holds for any resource, whatever its route; refused before the body is read. Plain ASGI.

Source: RFC 6585 section 5 (431); RFC 9110 sections 9.3.2 (HEAD), 9.3.7 (OPTIONS), 10.2.1 (Allow),
12.5.1 (Accept), 15.5.16 (415) and 15.5.20 (421); W3C Fetch Metadata Request Headers section 2.4.
"""

import http
from fnmatch import fnmatchcase

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ProblemType, ServiceError
from service.headers import JSON, accept_of, accepts, header_of, wants_fhir
from service.problems import error_response, request_id_of
from service.settings import Settings, is_loopback

MAX_HEADERS = 100
MAX_HEAD_BYTES = 16 * 1024
TOO_LARGE = f"A request may have {MAX_HEADERS} headers, and a head of {MAX_HEAD_BYTES} bytes."
_IMAGE_ROUTES = ("/predict", "/predict/image")
# Probes of an orchestrator come by the address of the pod.
_PROBES = ("/health/", "/v2/health/")
_READING = ("GET", "HEAD", "OPTIONS")


class Negotiation:
    """Answers what holds for any resource, so that no route has to: HEAD, OPTIONS, a last slash.

    What a request asks for is checked against what there is to be had, and by whom.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, HEAD as GET, and complete its answer; or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        # A redirect to the path without the slash would need an address from the Host header, and
        # clients would not send their body again.
        scope["path"] = scope["path"].rstrip("/") or "/"
        # A copy, because the server looks at the method of its own when it writes the answer.
        inner = {**scope, "method": "GET"} if method == "HEAD" else scope
        answer = _Answer(inner, method, receive, send)
        try:
            _check_host(inner, self._settings)
            _check_origin(inner, self._settings)
            _check_request(inner)
        except ServiceError as error:
            await answer.refuse(error)
            return
        begin = answer.check if inner["method"] == "GET" else answer.complete
        try:
            await self._app(inner, receive, begin)
        finally:
            scope.update(inner, method=method)


class _Answer:
    """The answer to a request of ``method``, which the routes see as ``scope`` has it."""

    def __init__(self, scope: Scope, method: str, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._method = method
        self._has_body, self._refused = method != "HEAD", False

    async def refuse(self, error: ServiceError) -> None:
        response = error_response(error, request_id_of(self._scope))
        await response(self._scope, self._receive, self.complete)

    async def check(self, message: Message) -> None:
        """Send on, unless it begins an answer that the client does not take."""
        if message["type"] == "http.response.start" and message["status"] == http.HTTPStatus.OK:
            given = dict(message["headers"]).get(b"content-type", b"").decode("latin-1")
            if not accepts(accept_of(self._scope), given):
                self._refused = True
                await self.refuse(_not_acceptable(given))
        if not self._refused:
            await self.complete(message)

    async def complete(self, message: Message) -> None:
        """Send on; name HEAD and OPTIONS where methods are named, the whole answer to OPTIONS."""
        if message.get("status") == http.HTTPStatus.METHOD_NOT_ALLOWED:
            headers = MutableHeaders(raw=message["headers"])
            allowed = {*headers["allow"].split(", "), "OPTIONS"}
            headers["allow"] = ", ".join(
                sorted(allowed | {"HEAD"} if "GET" in allowed else allowed)
            )
            if self._method == "OPTIONS":
                self._has_body = False
                self._scope["state"].pop("problem", None)
                kept = [(b"allow", headers["allow"].encode())]
                message = {**message, "status": 204, "headers": kept}
        elif message["type"] == "http.response.body" and not self._has_body:
            message = {**message, "body": b""}
        await self._send(message)


def _not_acceptable(given: str) -> ServiceError:
    return ServiceError(
        ProblemType.NOT_ACCEPTABLE, f"The answer is {given}, which Accept rules out."
    )


def _check_host(scope: Scope, settings: Settings) -> None:
    """See that a request was meant for this service: a page may give its own name our address."""
    if scope["path"].startswith(_PROBES):
        return
    host = (header_of(scope, b"host") or "").lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if settings.allowed_hosts:
        # An entry may name a port, too.
        given = (name, host)
        is_known = any(fnmatchcase(one, each) for one in given for each in settings.allowed_hosts)
    else:
        is_known = not settings.is_private or is_loopback(name)
    if not is_known:
        raise ServiceError(
            ProblemType.MISDIRECTED_REQUEST,
            "The Host header names another host: see PNEUMO_ALLOWED_HOSTS.",
        )


def _check_origin(scope: Scope, settings: Settings) -> None:
    """See that no page of another origin makes a browser do more than read.

    Programs send neither header. Browsers leave out Sec-Fetch-Site where the page came without TLS.
    """
    origin, site = header_of(scope, b"origin"), header_of(scope, b"sec-fetch-site")
    if scope["method"] in _READING or {origin, "*"} & set(settings.cors_origins):
        return
    if site is None:
        is_own = origin is None or origin.partition("://")[2] == header_of(scope, b"host")
    else:
        is_own = site in ("same-origin", "none")
    if not is_own:
        raise ServiceError(
            ProblemType.CROSS_ORIGIN,
            "A page of another origin asks for this: see PNEUMO_CORS_ORIGINS.",
        )


def _check_request(scope: Scope) -> None:
    headers = scope["headers"]
    size = sum(len(b": \r\n") + len(name) + len(value) for name, value in headers)
    size += len(scope["raw_path"]) + len(scope["query_string"])
    if len(headers) > MAX_HEADERS or size > MAX_HEAD_BYTES:
        raise ServiceError(ProblemType.HEADERS_TOO_LARGE, TOO_LARGE)
    if scope["method"] != "POST" or scope["path"] not in _IMAGE_ROUTES:
        return
    accept = accept_of(scope)
    if not (accepts(accept, JSON) or wants_fhir(accept)):
        raise _not_acceptable(JSON)
    sent = (header_of(scope, b"content-type") or "").partition(";")[0].strip().lower()
    multipart = sent.startswith("multipart/") and sent != "multipart/form-data"
    if multipart or "json" in sent:
        raise ServiceError(
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            "Send the image as the body, with its own type or application/octet-stream, "
            "or images as parts named 'file' of multipart/form-data.",
        )
