"""Metrics for Prometheus, in base units; never a file name, a patient's data, or image bytes.

Every label has few values: the templates of routes, the models that were ever loaded, and words
that this project defines. A name that a client sends is never one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector

from contract.decision import Reason
from contract.findings import Label
from service.batcher import SIZES
from service.inference import Inference
from service.prediction import ImageResult, Prediction, StageTimes
from service.problems import problem_type
from service.repository import ModelRepository
from service.session import ServedModel

METRICS_MEDIA_TYPE = CONTENT_TYPE_LATEST
STAGES = ("decode", "queue", "inference", "encode", "total")
BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1, 2, 5, 10, 30,
)  # fmt: skip
SCORE_BUCKETS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        """Register every metric."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._registry = registry
        requests = Counter(
            "pneumoscope_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        refused = Counter(
            "pneumoscope_requests_refused", "Requests answered with a problem, by its kind.",
            ["reason"], registry=registry,
        )  # fmt: skip
        rejected = Counter(
            "pneumoscope_images_rejected", "Images that could not be read.", ["reason"],
            registry=registry,
        )  # fmt: skip
        # To look a metric up by its labels costs more than to count.
        self._requests = cache(requests.labels)
        self._refused = cache(refused.labels)
        self._rejected = cache(rejected.labels)
        self._families = _Families(registry)
        self._by_model: dict[tuple[str, int, str, str], _ModelMetrics] = {}
        self.in_flight = Gauge(
            "pneumoscope_images_in_flight", "Images waiting or in work.", registry=registry
        )
        self.queue_depth = Gauge(
            "pneumoscope_queue_depth",
            "Images that wait for a thread or a batch.",
            registry=registry,
        )
        self._models = Gauge(
            "pneumoscope_model_info", "Models that are served.",
            ["model", "version", "digest", "execution_provider"], registry=registry,
        )  # fmt: skip
        self._changes = Counter(
            "pneumoscope_model_changes", "Models loaded, unloaded, or refused, at run time.",
            ["change"], registry=registry,
        )  # fmt: skip
        self._unserved = Gauge(
            "pneumoscope_bundles_refused", "Bundles that the last reload refused.",
            registry=registry,
        )  # fmt: skip

    def request(self, route: str, status: int, problem: str | None = None) -> None:
        """Count a request.

        Args:
            route: The template of its path, never the path itself.
            status: Of the answer.
            problem: The slug of the problem that it was answered with.
        """
        self._requests(route, status).inc()
        if problem is not None:
            self._refused(problem).inc()

    def prediction(self, prediction: Prediction, encode_s: float | None = None) -> None:
        """Count the images of a request and record its times.

        Args:
            prediction: What was answered.
            encode_s: Seconds that it took to write the answer; None where a problem was written.
        """
        for result in prediction.results:
            if isinstance(result, ImageResult):
                self._answer(result)
            else:
                self._rejected(problem_type(result.error).slug).inc()
        stages = self._of(prediction.model).stages
        if encode_s is not None:
            stages["encode"].observe(encode_s)
        stages["total"].observe(prediction.total_s + (encode_s or 0.0))

    def inference(self, inference: Inference, encode_s: float) -> None:
        """Count the images of an inference request, which get no decision, and record its times.

        Args:
            inference: What was answered.
            encode_s: Seconds that it took to write the answer.
        """
        of = self._of(inference.model)
        of.decision("none").inc(len(inference.times))
        for times in inference.times:
            of.spent(times)
        for probabilities in inference.outputs["probabilities"].tolist():
            of.predicted(probabilities)
        of.stages["encode"].observe(encode_s)
        of.stages["total"].observe(inference.total_s + encode_s)

    def batch(self, model: ServedModel, size: int) -> None:
        """Record how many images were run together; any thread may call this."""
        self._of(model).batch.observe(size)

    def models(self, repository: ModelRepository) -> None:
        """Name the models that are served now, and no others."""
        self._models.clear()
        for model in repository.all():
            manifest, provider = model.manifest, model.session.provider
            self._models.labels(manifest.name, manifest.version, model.digest, provider).set(1)
            self._of(model)

    def reload(self, loaded: int, unloaded: int, refused: int) -> None:
        """Count what a reload did to the models."""
        for change, count in (("loaded", loaded), ("unloaded", unloaded), ("refused", refused)):
            self._changes.labels(change).inc(count)
        self._unserved.set(refused)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def _answer(self, answer: ImageResult) -> None:
        of, decision = self._of(answer.model), answer.decision
        of.spent(answer.times)
        of.decision(decision.label or "refer").inc()
        for reason in decision.reasons:
            of.reason(reason).inc()
        of.predicted(answer.probabilities.tolist())

    def _of(self, model: ServedModel) -> "_ModelMetrics":
        manifest, provider = model.manifest, model.session.provider
        # A bundle that was changed in its place may have other classes.
        key = manifest.name, manifest.version, manifest.digest, provider
        found = self._by_model.get(key)
        if found is None:
            found = self._by_model[key] = self._families.of(
                manifest.name, manifest.version, provider, manifest.labels
            )
        return found


class _Families:
    """The metrics that are labelled with a model."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._stages = Histogram(
            "pneumoscope_stage_seconds",
            "Time of an answered image in decode, queue and inference, of a request in the others.",
            ["stage", "model", "provider"], buckets=BUCKETS_S, registry=registry,
        )  # fmt: skip
        self._batches = Histogram(
            "pneumoscope_batch_size", "Images that were run together.", ["model", "provider"],
            buckets=SIZES, registry=registry,
        )  # fmt: skip
        self._images = Counter(
            "pneumoscope_images", "Images answered.", ["model", "version", "decision"],
            registry=registry,
        )  # fmt: skip
        self._referred = Counter(
            "pneumoscope_images_referred", "Images referred, once for each of their reasons.",
            ["model", "version", "reason"], registry=registry,
        )  # fmt: skip
        self._scores = Histogram(
            "pneumoscope_probability", "Calibrated probability of each class, to see drift.",
            ["model", "version", "label"], buckets=SCORE_BUCKETS, registry=registry,
        )  # fmt: skip

    def of(
        self, name: str, version: int, provider: str, labels: Iterable[Label]
    ) -> "_ModelMetrics":
        return _ModelMetrics(
            stages={stage: self._stages.labels(stage, name, provider) for stage in STAGES},
            batch=self._batches.labels(name, provider),
            decision=cache(partial(self._images.labels, name, version)),
            reason=cache(partial(self._referred.labels, name, version)),
            scores=tuple(self._scores.labels(name, version, label) for label in labels),
        )


@dataclass(frozen=True, slots=True)
class _ModelMetrics:
    """The metrics of one model, each looked up by its labels once."""

    stages: Mapping[str, Histogram]
    batch: Histogram
    decision: Callable[[str], Counter]
    reason: Callable[[Reason], Counter]
    scores: tuple[Histogram, ...]

    def spent(self, times: StageTimes) -> None:
        self.stages["decode"].observe(times.decode_s)
        self.stages["queue"].observe(times.queue_s)
        self.stages["inference"].observe(times.inference_s)

    def predicted(self, probabilities: Sequence[float]) -> None:
        for scores, probability in zip(self.scores, probabilities, strict=True):
            scores.observe(probability)
