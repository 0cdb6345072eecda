"""What happens to every request, around the routes: plain ASGI, so that nothing is buffered."""

import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.identifiers import request_id, traceparent
from service.logs import Logger, where
from service.metrics import Metrics
from service.problems import error_response
from service.tracing import NO_TRACE, Tracing

UNMATCHED = "unmatched"
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class RequestContext:
    """Gives a request its identifier, its log line, its count and its span.

    It also answers where all else fails.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing, log: Logger) -> None:
        """Wrap an application."""
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
            duration_ms=round((time.perf_counter() - exchange.started) * 1000, 3),
        )


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send, tracing: Tracing) -> None:
        headers = Headers(scope=scope)
        self.request_id = request_id(headers.get("x-request-id"))
        given = traceparent(headers.get("traceparent"))
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
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.request_id
            if self.traceparent is not None:
                headers["traceparent"] = self.traceparent
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)
