"""Structured logs and metrics. Neither ever holds a file name, a patient's data, or image bytes."""

import logging
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector

from service.errors import FileFailed
from service.prediction import Answer, Prediction
from service.problems import problem_type
from service.repository import ModelRepository

METRICS_MEDIA_TYPE = CONTENT_TYPE_LATEST
MAX_REASON_LENGTH = 500
STAGES = ("decode", "queue", "inference", "total")
BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1, 2, 5, 10, 30,
)  # fmt: skip
# These libraries quote the bytes that they stumble over, and those may name a patient.
QUOTING_LOGGERS = ("PIL", "pylibjpeg", "python_multipart")

Logger = structlog.typing.FilteringBoundLogger


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        """Register every metric."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._registry = registry
        self._requests = Counter(
            "pneumoscope_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self._images = Counter(
            "pneumoscope_images", "Images answered.", ["model", "version", "decision"],
            registry=registry,
        )  # fmt: skip
        self._referred = Counter(
            "pneumoscope_images_referred", "Images referred, once for each of their reasons.",
            ["model", "version", "reason"], registry=registry,
        )  # fmt: skip
        self._rejected = Counter(
            "pneumoscope_images_rejected", "Images that could not be read.", ["reason"],
            registry=registry,
        )  # fmt: skip
        stage = Histogram(
            "pneumoscope_stage_seconds", "Time in each stage of a prediction.", ["stage"],
            buckets=BUCKETS_S, registry=registry,
        )  # fmt: skip
        self._stages = {name: stage.labels(name) for name in STAGES}
        self.in_flight = Gauge(
            "pneumoscope_images_in_flight", "Images waiting or in work.", registry=registry
        )
        self._models = Gauge(
            "pneumoscope_model_info", "Models that are served.",
            ["model", "version", "digest", "execution_provider"], registry=registry,
        )  # fmt: skip

    def request(self, route: str, status: int) -> None:
        """Count a request. ``route`` is the template of its path, never the path itself."""
        self._requests.labels(route, status).inc()

    def prediction(self, prediction: Prediction) -> None:
        """Count the images of a request and record its times."""
        for result in prediction.results:
            if isinstance(result, Answer):
                manifest = result.model.manifest
                decision = result.decision.label or "refer"
                self._images.labels(manifest.name, manifest.version, decision).inc()
                for reason in result.decision.reasons:
                    self._referred.labels(manifest.name, manifest.version, reason).inc()
            else:
                self._rejected.labels(problem_type(result.error).slug).inc()
        times = prediction.times
        seconds = (times.decode_s, times.queue_s, times.inference_s, prediction.total_s)
        for stage, value in zip(STAGES, seconds, strict=True):
            self._stages[stage].observe(value)

    def models(self, repository: ModelRepository) -> None:
        """Name the models that are served."""
        for model in repository.all():
            manifest, provider = model.manifest, model.session.provider
            self._models.labels(manifest.name, manifest.version, manifest.digest, provider).set(1)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)


def make_logger(level: str, stream: BinaryIO | None = None) -> Logger:
    """Make a logger that writes one JSON object per line.

    Args:
        level: The least severe level that is written.
        stream: Where to; standard output where None.
    """
    output = sys.stdout.buffer if stream is None else stream
    return cast(
        "Logger",
        structlog.wrap_logger(
            structlog.BytesLogger(output),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _to_json,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
        ),
    )


def silence_quoting_libraries() -> None:
    """Keep other libraries from writing what they read to the process's log."""
    for name in QUOTING_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def log_failure(log: Logger, error: Exception, request_id: str) -> None:
    """Tell the operator why a model did not run, in the runtime's own words, or a file failed."""
    if isinstance(error, FileFailed):
        log.error("file failed", request_id=request_id, error=error.kind, places=error.places)
        return
    log.error(
        "inference failed",
        request_id=request_id,
        error=type(error).__name__,
        reason=str(error.__cause__ or error)[:MAX_REASON_LENGTH],
    )


def where(error: BaseException) -> list[str]:
    """The places that an error came through, without its message, which may quote a file."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).stem}.{frame.name}:{frame.lineno}" for frame in frames]


def _to_json(_logger: Any, _method: str, event: structlog.typing.EventDict) -> bytes:  # noqa: ANN401
    return orjson.dumps(event, default=str)
