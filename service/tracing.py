"""Traces: where a request spent its time. Off by default, when none of this does anything.

A request is a span; its stages are four kinds of child: decode, queue, inference, encode. A span
never holds a path, a query, a file name or anything of an image. Source: OTLP 1.x over HTTP;
OpenTelemetry's semantic conventions for HTTP server spans.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from service import __version__

EXPORT_TIMEOUT_S = 5
FLUSH_S = 3
_SERVER_ERROR = 500
_PROPAGATOR = TraceContextTextMapPropagator()


class RequestTrace:
    """The span of a request, and its children. Any thread may call it."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer, self._span = tracer, span
        self._context = trace.set_span_in_context(span, Context())

    @property
    def traceparent(self) -> str | None:
        """The span as W3C Trace Context writes it; None where there is none."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, self._context)
        return carrier.get("traceparent")

    def stage(
        self,
        name: Literal["decode", "queue", "inference", "encode"],
        ran_s: float,
        ended_s_ago: float = 0.0,
    ) -> None:
        """Record a stage that is over: how long it took, and how long ago it ended."""
        if self._span.is_recording():
            ended = time.time_ns() - int(ended_s_ago * 1e9)
            started = ended - int(ran_s * 1e9)
            self._tracer.start_span(name, self._context, start_time=started).end(ended)

    def end(self, route: str, status: int) -> None:
        """End the span under the template of the request's path, never the path itself."""
        self._span.update_name(f"POST {route}")
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= _SERVER_ERROR:
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


NO_TRACE = RequestTrace(trace.NoOpTracer(), trace.INVALID_SPAN)


@dataclass(frozen=True, slots=True)
class Tracing:
    """Where spans go; without a ``tracer``, there are none."""

    tracer: trace.Tracer | None = None
    close: Callable[[], None] = lambda: None

    def post(self, traceparent: str | None) -> RequestTrace:
        """Begin the span of a POST, a child of the caller's span where there is one."""
        if self.tracer is None:
            return NO_TRACE
        carrier = {} if traceparent is None else {"traceparent": traceparent}
        # An empty context, so that nothing but the caller's own word is the parent.
        context = _PROPAGATOR.extract(carrier, Context())
        attributes = {"http.request.method": "POST"}
        span = self.tracer.start_span("POST", context, trace.SpanKind.SERVER, attributes)
        return RequestTrace(self.tracer, span)


def open_tracing(endpoint: str | None) -> Tracing:
    """Send spans to an OTLP collector over HTTP, such as ``http://collector:4318``, or nowhere.

    OTEL_ variables set headers, certificates, the sampler and the resource's other attributes.
    """
    if endpoint is None:
        return Tracing()
    # Only who asks for traces pays for the SDK, in memory and in time to start.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
    resource = Resource.create({SERVICE_NAME: "pneumoscope", SERVICE_VERSION: __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))

    def close() -> None:
        # The provider would wait for a collector that does not answer for as long as it retries.
        giving_up = threading.Timer(FLUSH_S, exporter.shutdown)
        giving_up.daemon = True
        giving_up.start()
        provider.shutdown()
        giving_up.cancel()

    return Tracing(provider.get_tracer("pneumoscope", __version__), close)


def trace_of(scope: Scope) -> RequestTrace:
    """The span that the middleware began for a request."""
    return cast("RequestTrace", scope["state"]["trace"])
