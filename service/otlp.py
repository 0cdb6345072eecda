"""Sends spans to an OpenTelemetry collector. Imported only where traces are on.

Source: OTLP 1.x over HTTP; the semantic conventions for HTTP server spans.
"""

import threading
import time
from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service import __version__
from service.repository import ServedModel
from service.tracing import RequestTrace, StageSpan, Tracing

EXPORT_TIMEOUT_S = 5
FLUSH_S = 3
_SERVER_ERROR = 500
_PROPAGATOR = TraceContextTextMapPropagator()


class OtlpTracing(Tracing):
    """Spans, gathered and sent by a thread of their own."""

    def __init__(self, endpoint: str) -> None:
        """Start the thread.

        Args:
            endpoint: The collector's base address; OTEL_ variables set headers, certificates, the
                sampler and the resource's other attributes.
        """
        resource = Resource.create({SERVICE_NAME: "pneumoscope", SERVICE_VERSION: __version__})
        self._exporter = OTLPSpanExporter(
            f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("pneumoscope", __version__)

    def request(self, method: str, traceparent: str | None) -> RequestTrace:
        """Begin the span of a request, as a child of the caller's."""
        carrier = {} if traceparent is None else {"traceparent": traceparent}
        # An empty context, so that nothing but the caller's own word is the parent.
        context = _PROPAGATOR.extract(carrier, Context())
        span = self._tracer.start_span(
            method, context, trace.SpanKind.SERVER, {"http.request.method": method}
        )
        return OtlpRequestTrace(self._tracer, span, method)

    def batch(self, model: ServedModel, requests: Iterable[RequestTrace], ran_s: float) -> None:
        """Record a batch that has just run, where any of its requests is recorded."""
        spans = [each.span for each in requests if isinstance(each, OtlpRequestTrace)]
        # A request may have ended already: whether it is sampled is known all the same.
        if not any(span.get_span_context().trace_flags.sampled for span in spans):
            return
        ended = time.time_ns()
        manifest = model.manifest
        # It belongs to several traces: it is the root of one of its own, and links to them all.
        batch = self._tracer.start_span(
            "batch",
            Context(),
            attributes={
                "pneumoscope.model.name": manifest.name,
                "pneumoscope.model.version": manifest.version,
                "pneumoscope.execution_provider": model.session.provider,
                "pneumoscope.batch.size": len(spans),
            },
            links=[trace.Link(span.get_span_context()) for span in spans],
            start_time=ended - _ns(ran_s),
        )
        batch.end(ended)

    def close(self) -> None:
        """Send what is left; gives up after three seconds."""
        # The provider would wait for a collector that does not answer for as long as it retries.
        giving_up = threading.Timer(FLUSH_S, self._exporter.shutdown)
        giving_up.daemon = True
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()


class OtlpRequestTrace(RequestTrace):
    """The span of a request, and its children."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span, method: str) -> None:
        """Take a span that has begun."""
        self.span = span
        self._tracer = tracer
        self._method = method
        self._context = trace.set_span_in_context(span, Context())

    @property
    def traceparent(self) -> str | None:
        """The span as W3C Trace Context writes it."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, self._context)
        return carrier.get("traceparent")

    def stage(self, name: StageSpan, ran_s: float, ended_s_ago: float = 0.0) -> None:
        """Record a stage that is over, as a child."""
        if not self.span.is_recording():
            return
        ended = time.time_ns() - _ns(ended_s_ago)
        child = self._tracer.start_span(name, self._context, start_time=ended - _ns(ran_s))
        child.end(ended)

    def end(self, route: str, status: int) -> None:
        """End the span, under the name of its route."""
        self.span.update_name(f"{self._method} {route}")
        self.span.set_attribute("http.route", route)
        self.span.set_attribute("http.response.status_code", status)
        if status >= _SERVER_ERROR:
            self.span.set_status(trace.StatusCode.ERROR)
        self.span.end()


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
