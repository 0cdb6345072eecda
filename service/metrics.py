"""Metrics for Prometheus, in base units; never a file name, a patient's data, or image bytes.

Every label has few values: the templates of routes, the models that were ever loaded, and words
that this project defines. A name that a client sends is never one.

Where PROMETHEUS_MULTIPROC_DIR is set, several worker processes share that folder, and any of them
exposes the sum over all. Whoever starts the service empties the folder first.
"""

import os
import platform
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import onnxruntime
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.process_collector import ProcessCollector

from contract.manifest import OOD_EDGES, PROBABILITY_EDGES
from service import __version__
from service.domain import BATCH_SIZES, STAGES, ImageFailure, Prediction, ServedModel, StageTimes
from service.errors import InferenceFailed, problem_type

BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1, 2, 5, 10, 30,
)  # fmt: skip
# The client library looks for the folder when it is imported, so later changes have no effect.
_SHARED = os.environ.get("PROMETHEUS_MULTIPROC_DIR")

# They would double the series of every counter, and Prometheus does not need them.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        if _SHARED is None:
            ProcessCollector(registry=registry)
        counter = partial(Counter, namespace="pneumoscope", registry=registry)
        histogram = partial(Histogram, namespace="pneumoscope", registry=registry)
        summary = partial(Summary, namespace="pneumoscope", registry=registry)
        gauge = partial(Gauge, namespace="pneumoscope", registry=registry)
        model = ["model", "version"]
        self._requests = counter("requests", "Requests answered.", ["route", "status"])
        self._refused = counter("requests_refused", "Requests answered with a problem.", ["reason"])
        self._rejected = counter("images_rejected", "Images that could not be read.", ["reason"])
        self._images = counter("images", "Images answered.", [*model, "decision"])
        self._referred = counter("images_referred", "Referred, by each reason.", [*model, "reason"])
        self.feedback = counter("feedback", "Readers' verdicts.", [*model, "verdict"])
        self._changes = counter("model_changes", "Models changed at run time.", ["change"])
        self._stages = histogram(
            "stage_seconds",
            "Time of an answered image in decode, queue and inference, of a request in the others.",
            ["stage", *model, "provider"],
            buckets=BUCKETS_S,
        )
        self._batches = histogram(
            "batch_size", "Images run together.", [*model, "provider"], buckets=BATCH_SIZES
        )
        self._scores = histogram(
            "probability", "Calibrated, to see drift.", [*model, "label"], buckets=PROBABILITY_EDGES
        )
        self._ood = histogram(
            "ood_share", "Score of the unfamiliar; 1 is its limit.", model, buckets=OOD_EDGES
        )
        self._reference = gauge(
            "site_reference",
            "Shares of a site's own images at its commissioning, as the buckets of the histograms.",
            [*model, "histogram", "label", "le"],
            multiprocess_mode="livemax",
        )
        self._failed = summary(
            "failed_inference_seconds", "Time of images on which the model failed.", model
        )
        self._last = gauge(
            "last_inference_timestamp_seconds", "Last answer.", model, multiprocess_mode="max"
        )
        self._models = gauge(
            "model_info",
            "Models that are served.",
            [*model, "digest", "execution_provider"],
            multiprocess_mode="livemax",
        )
        self._unserved = gauge(
            "bundles_refused", "Refused by the last reload.", multiprocess_mode="livemax"
        )
        # Of what counts each answer, and is never cleared: labels() checks and locks each time.
        self._child = lru_cache(1024)(lambda metric, *labels: metric.labels(*labels))
        build = ["version", "onnxruntime", "python"]
        gauge("build_info", "Versions in use.", build, multiprocess_mode="livemax").labels(
            __version__, onnxruntime.__version__, platform.python_version()
        ).set(1)
        # The limit holds for each process, so all may have the sum of theirs in flight.
        self.queue_limit = gauge(
            "queue_limit", "The most images waiting or in work.", multiprocess_mode="livesum"
        )
        self.in_flight = gauge(
            "images_in_flight", "Images waiting or in work.", multiprocess_mode="livesum"
        )
        self.queue_depth = gauge(
            "queue_depth", "Images that wait for a thread or a batch.", multiprocess_mode="livesum"
        )

    def request(self, route: str, status: int, problem: str | None = None) -> None:
        """Count a request by the template of its path, its status, and its problem's slug."""
        self._child(self._requests, route, status).inc()
        if problem is not None:
            self._refused.labels(problem).inc()

    def prediction(self, prediction: Prediction, encode_s: float | None = None) -> None:
        """Count the images of a request, and record its times.

        ``encode_s`` went into writing the answer; None where a problem was written.
        """
        for result in prediction.results:
            if isinstance(result, ImageFailure):
                self._rejected.labels(problem_type(result.error).slug).inc()
                if isinstance(result.error, InferenceFailed):
                    spent = result.times["decode"] + result.times["queue"]
                    self.failed(prediction.model, spent)
                continue
            decision, found = result.decision, result.out_of_distribution
            said = result.probabilities.tolist()
            self._answered(result.model, decision.label or "refer", result.times, said)
            if found and found.limit > 0:
                share = found.score / found.limit
                self._child(self._ood, *_of(result.model)).observe(share)
            for reason in decision.reasons:
                self._child(self._referred, *_of(result.model), reason).inc()
        self._request(prediction.model, prediction.total_s, encode_s)

    def inference(
        self,
        model: ServedModel,
        times: Iterable[StageTimes],
        probabilities: Sequence[Sequence[float]],
        total_s: float,
        encode_s: float,
    ) -> None:
        """Count images that get no decision; ``total_s`` does not count ``encode_s``."""
        for spent, of_image in zip(times, probabilities, strict=True):
            self._answered(model, "none", spent, of_image)
        self._request(model, total_s, encode_s)

    def failed(self, model: ServedModel, seconds: float) -> None:
        """Count an image on which a model failed."""
        self._failed.labels(*_of(model)).observe(seconds)

    def batch(self, model: ServedModel, size: int) -> None:
        """Record how many images were run together."""
        self._batches.labels(*_of(model), model.session.provider).observe(size)

    def models(self, models: Iterable[ServedModel]) -> None:
        """Name the models that are served now, and no others."""
        if _SHARED is None:
            # A worker among several keeps the models that it started with.
            self._models.clear()
            self._reference.clear()
        for model in models:
            provider = model.session.provider
            self._models.labels(*_of(model), model.digest, provider).set(1)
            for stage in (*STAGES, "encode", "total"):
                self._stages.labels(stage, *_of(model), provider)
            self._site(model)

    def _site(self, model: ServedModel) -> None:
        """Put a site's own reference beside the histograms that drift from it."""
        reference = model.manifest.site and model.manifest.site.reference
        if not reference:
            return
        for label, shares in reference.probability.items():
            for edge, share in zip(PROBABILITY_EDGES, shares, strict=True):
                self._reference.labels(*_of(model), "probability", label, str(edge)).set(share)
        for edge, share in zip(OOD_EDGES, reference.ood_share, strict=True):
            self._reference.labels(*_of(model), "ood_share", "", str(edge)).set(share)

    def reload(self, loaded: int, unloaded: int, refused: int) -> None:
        """Count what a reload did to the models."""
        for change, count in (("loaded", loaded), ("unloaded", unloaded), ("refused", refused)):
            self._changes.labels(change).inc(count)
        self._unserved.set(refused)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format, of all workers where there are several."""
        return prometheus_client.generate_latest(self._all())

    def values(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample of the exposition, by its name and labels."""
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self._all().collect()
            for sample in family.samples
        }

    def _all(self) -> CollectorRegistry:
        if _SHARED is None:
            return self._registry
        _forget_dead_workers(Path(_SHARED))
        registry = CollectorRegistry()
        MultiProcessCollector(registry, _SHARED)  # type: ignore[no-untyped-call]
        return registry

    def _answered(
        self, model: ServedModel, decision: str, times: StageTimes, probabilities: Sequence[float]
    ) -> None:
        names = _of(model)
        self._child(self._images, *names, decision).inc()
        self._child(self._last, *names).set_to_current_time()
        for stage, seconds in times.items():
            self._spent(model, stage, seconds)
        for label, probability in zip(model.manifest.labels, probabilities, strict=True):
            self._child(self._scores, *names, label).observe(probability)

    def _request(self, model: ServedModel, total_s: float, encode_s: float | None) -> None:
        if encode_s is not None:
            self._spent(model, "encode", encode_s)
        self._spent(model, "total", total_s + (encode_s or 0.0))

    def _spent(self, model: ServedModel, stage: str, seconds: float) -> None:
        labels = stage, *_of(model), model.session.provider
        self._child(self._stages, *labels).observe(seconds)


def _of(model: ServedModel) -> tuple[str, str]:
    """The labels that name a model."""
    return model.manifest.name, str(model.manifest.version)


def _forget_dead_workers(folder: Path) -> None:
    """Let the gauges of workers that are gone count no more; their counters still do."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if not Path("/proc", pid).exists():
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
