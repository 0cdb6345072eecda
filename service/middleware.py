"""What happens to every request, around the routes: plain ASGI, so that nothing is buffered."""

import time
from collections.abc import Iterable
from typing import TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import where
from service.headers import header_of, request_id, traceparent
from service.logs import Logger
from service.metrics import Metrics
from service.problems import error_response
from service.tracing import NO_TRACE, Tracing

RawHeader: TypeAlias = tuple[bytes, bytes]
UNMATCHED = "unmatched"
# ASGI has the names of headers in lower case, and takes them as they are, without a mapping.
SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class RequestContext:
    """Gives a request its identifier, its log line, its count and its span.

    It also answers where all else fails.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing, log: Logger) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; answer it here where an unforeseen error comes back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._tracing)
        try:
            await self._app(scope, receive, exchange.send)
        except Exception as error:
            self._log.error(
                "unforeseen error",
                request_id=exchange.request_id,
                error=type(error).__name__,
                places=where(error),
            )
            if exchange.status is not None:
                raise
            await error_response(error, exchange.request_id)(scope, receive, exchange.send)
        finally:
            self._record(scope, exchange)

    def _record(self, scope: Scope, exchange: "_Exchange") -> None:
        # A mounted application has no route of its own, but a path that it is mounted at.
        route = getattr(scope.get("route"), "path", None) or scope.get("root_path") or UNMATCHED
        status = exchange.status or 0
        problem = scope["state"].get("problem")
        self._metrics.request(route, status, problem)
        exchange.trace.end(route, status)
        self._log.info(
            "request",
            request_id=exchange.request_id,
            traceparent=exchange.traceparent,
            method=scope["method"],
            route=route,
            status=status,
            problem=problem,
            key=scope["state"].get("key"),
            peer=scope["client"][0] if scope["client"] else None,
            duration_ms=round((time.perf_counter() - exchange.started) * 1000, 3),
        )


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send, tracing: Tracing) -> None:
        self.request_id = request_id(header_of(scope, b"x-request-id"))
        given = traceparent(header_of(scope, b"traceparent"))
        # Probes and pages that are only read would drown the spans of what does the work.
        traced = scope["method"] == "POST"
        self.trace = tracing.request("POST", given) if traced else NO_TRACE
        self.traceparent = given or self.trace.traceparent
        self.started = time.perf_counter()
        self.status: int | None = None
        self._send = send
        scope.setdefault("state", {}).update(request_id=self.request_id, trace=self.trace)

    async def send(self, message: Message) -> None:
        """Send on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._complete(message["headers"])
        await self._send(message)

    def _complete(self, headers: Iterable[RawHeader]) -> list[RawHeader]:
        """Add the headers that every answer has; of those of security, a route's own prevail."""
        complete = [*headers, (b"x-request-id", self.request_id.encode("latin-1"))]
        if self.traceparent is not None:
            complete.append((b"traceparent", self.traceparent.encode("latin-1")))
        names = {name for name, _ in complete}
        return complete + [header for header in SECURITY_HEADERS if header[0] not in names]
