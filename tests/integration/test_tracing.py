"""Traces, as a collector receives them."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.tracing import open_tracing
from tests.integration.live import REPOSITORY, serving_models

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@dataclass
class Collector:
    """An OTLP collector that keeps what it gets."""

    endpoint: str
    received: list[ExportTraceServiceRequest] = field(default_factory=list)

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def resource(self) -> dict[str, str]:
        attributes = self.received[0].resource_spans[0].resource.attributes
        return {each.key: each.value.string_value for each in attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            kept.received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield kept
        server.shutdown()
        thread.join()


def test_a_request_is_a_span_with_its_stages_below_it_and_nothing_of_its_file(
    models: Path, collector: Collector, radiograph: bytes
) -> None:
    with serving_models(models, otlp_endpoint=collector.endpoint) as live:
        given = live.predict(radiograph).headers["traceparent"].split("-")[1:3]
        live.client.headers["traceparent"] = TRACEPARENT
        answered = live.predict_files(("doe-jane.jpg", radiograph), model="tiny")
        refused = live.predict(b"doe-jane")
        live.client.get("/health")

    spans = collector.spans()
    # A caller without a trace gets the one that was begun.
    (own,) = [span for span in spans if span.span_id.hex() == given[1]]
    assert own.trace_id.hex() == given[0]
    spans = [span for span in spans if span.trace_id != own.trace_id]
    servers = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    (good,) = [span for span in servers if ("http.response.status_code", 200) in numbers(span)]
    stages = [span for span in spans if span.parent_span_id == good.span_id]
    assert [span.name for span in servers] == ["POST /predict"] * 2
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert {span.parent_span_id.hex() for span in servers} == {PARENT}
    assert {span.name for span in stages} == {"decode", "queue", "inference", "encode"}
    assert all(
        good.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        and span.end_time_unix_nano <= good.end_time_unix_nano
        for span in stages
    )
    assert collector.resource()["service.name"] == "pneumoscope"
    assert answered.headers["traceparent"] == refused.headers["traceparent"] == TRACEPARENT
    assert not any(b"doe" in request.SerializeToString() for request in collector.received)


def test_a_request_that_failed_is_marked_and_what_the_caller_does_not_sample_not_sent(
    collector: Collector,
) -> None:
    tracing = open_tracing(collector.endpoint)

    unsampled = tracing.post(f"00-{TRACE}-{PARENT}-00")
    unsampled.stage("decode", 0.1)
    unsampled.end("/predict", 200)
    tracing.post(None).end("/predict", 503)
    tracing.close()

    (span,) = collector.spans()
    assert span.name == "POST /predict"
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert ("http.response.status_code", 503) in numbers(span)


def test_a_collector_that_is_not_there_holds_up_nobody(models: Path, radiograph: bytes) -> None:
    with serving_models(models, otlp_endpoint="http://127.0.0.1:9") as live:
        answered = live.predict(radiograph).status_code
        stopping = time.monotonic()
    seconds = time.monotonic() - stopping

    assert answered == 200
    assert seconds < 10


def test_who_asks_for_no_traces_does_not_load_what_makes_them() -> None:
    command = (
        "import service.server, sys; print([m for m in sys.modules if 'opentelemetry.sdk' in m])"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"


def numbers(span: Span) -> list[tuple[str, int]]:
    return [(each.key, each.value.int_value) for each in span.attributes]
