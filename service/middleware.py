"""What happens to every request, around the routes: plain ASGI, so that nothing is buffered."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import where
from service.headers import header_of, request_id, traceparent
from service.logs import Logger
from service.metrics import Metrics
from service.problems import error_response
from service.tracing import NO_TRACE, Tracing

UNMATCHED = "unmatched"
# ASGI has the names of headers in lower case, and takes them as they are, without a mapping.
SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class RequestContext:
    """Gives a request its identifier, log line, count and span; answers where all else fails."""

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
        started, status = time.perf_counter(), 0
        identifier = request_id(header_of(scope, b"x-request-id"))
        given = traceparent(header_of(scope, b"traceparent"))
        # Probes and pages that are only read would drown the spans of what does the work.
        trace = self._tracing.post(given) if scope["method"] == "POST" else NO_TRACE
        parent = given or trace.traceparent
        state = scope.setdefault("state", {})
        state.update(request_id=identifier, trace=trace)

        async def complete(message: Message) -> None:
            """Send on, with what every answer has; of security's headers a route's own prevail."""
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", identifier.encode("latin-1"))]
                if parent is not None:
                    headers.append((b"traceparent", parent.encode("latin-1")))
                names = {name for name, _ in headers}
                headers += [header for header in SECURITY_HEADERS if header[0] not in names]
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, complete)
        except Exception as error:
            self._log.error(
                "unforeseen error",
                request_id=identifier,
                error=type(error).__name__,
                places=where(error),
            )
            if status:
                raise
            await error_response(error, identifier)(scope, receive, complete)
        finally:
            # A mounted application has no route of its own, but a path that it is mounted at.
            route = getattr(scope.get("route"), "path", None) or scope.get("root_path") or UNMATCHED
            problem = state.get("problem")
            self._metrics.request(route, status, problem)
            trace.end(route, status)
            self._log.info(
                "request",
                request_id=identifier,
                traceparent=parent,
                method=scope["method"],
                route=route,
                status=status,
                problem=problem,
                key=state.get("key"),
                peer=scope["client"][0] if scope["client"] else None,
                duration_ms=round((time.perf_counter() - started) * 1000, 3),
            )
