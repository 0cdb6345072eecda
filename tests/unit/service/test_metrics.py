from collections.abc import Sequence

import numpy as np
import pytest

from contract.decision import Decision
from contract.findings import Label
from contract.radiograph import Radiograph
from service import __version__
from service.domain import CPU, ImageResult, Outputs, Prediction, ServedModel
from service.metrics import Metrics
from tests.bundles import make_manifest, make_variant


class Session:
    provider = CPU

    def run(self, outputs: Sequence[str], images: object) -> Outputs:
        raise NotImplementedError


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def served(version: int = 1) -> ServedModel:
    return ServedModel(make_manifest("sha256:" + 64 * "0", version=version), Session())


def answer(model: ServedModel, label: Label) -> ImageResult:
    return ImageResult(
        name="doe^jane.dcm",
        sha256="0",
        times={"decode": 0.003, "queue": 0.0001, "inference": 0.02},
        model=model,
        image=Radiograph(np.zeros((0, 0), np.uint8), "PNG", 64, 64, 1, 1, None),
        probabilities=np.array([0.25, 0.75], np.float32),
        decision=Decision(present=(False, True), label=label),
    )


def exposed(metrics: Metrics) -> list[str]:
    return metrics.exposition().decode().splitlines()


def test_each_stage_is_timed_by_model_and_provider(metrics: Metrics) -> None:
    model = served()
    results = (answer(model, "pneumonia"), answer(model, "normal"))

    metrics.prediction(Prediction(model, results, 0.05), encode_s=0.01)

    sums = {
        line.partition('stage="')[2].partition('"')[0]: float(line.rpartition(" ")[2])
        for line in exposed(metrics)
        if line.startswith("pneumoscope_stage_seconds_sum{")
    }
    assert sums == pytest.approx(
        {"decode": 0.006, "queue": 0.0002, "inference": 0.04, "encode": 0.01, "total": 0.06}
    )


def test_the_scores_of_each_class_are_a_histogram(metrics: Metrics) -> None:
    model = served()

    metrics.prediction(Prediction(model, (answer(model, "pneumonia"),), 0.05), 0.01)

    bucket = 'pneumoscope_probability_bucket{label="%s",le="%s",model="tiny",version="1"} %s'
    lines = exposed(metrics)
    assert bucket % ("normal", "0.2", "0.0") in lines
    assert bucket % ("normal", "0.3", "1.0") in lines
    assert bucket % ("pneumonia", "0.7", "0.0") in lines
    assert bucket % ("pneumonia", "0.8", "1.0") in lines


def test_batches_are_counted_by_their_size(metrics: Metrics) -> None:
    for size in (1, 3, 4):
        metrics.batch(served(), size)

    labels = f'model="tiny",provider="{CPU}",version="1"'
    buckets = {
        f'pneumoscope_batch_size_bucket{{le="{most}",{labels}}} {count}'
        for most, count in (("1.0", "1.0"), ("2.0", "1.0"), ("4.0", "3.0"))
    }
    assert buckets <= set(exposed(metrics))


def test_a_model_is_named_with_the_digest_of_the_file_that_runs(metrics: Metrics) -> None:
    variant = make_variant("int8", "sha256:" + 64 * "8")
    manifest = make_manifest("sha256:" + 64 * "0").model_copy(update={"variants": (variant,)})

    model = ServedModel(manifest, Session(), precision="int8")
    metrics.models([model])

    (named,) = [line for line in exposed(metrics) if line.startswith("pneumoscope_model_info{")]
    assert f'digest="{variant.digest}"' in named


def test_there_are_no_series_of_when_a_counter_was_created(metrics: Metrics) -> None:
    metrics.request("/predict", 200)

    assert not any("_created" in line for line in exposed(metrics))


def test_the_versions_in_use_and_the_queue_limit_are_exposed(metrics: Metrics) -> None:
    metrics.queue_limit.set(64)

    lines = exposed(metrics)

    (build,) = [line for line in lines if line.startswith("pneumoscope_build_info{")]
    assert f'version="{__version__}"' in build
    assert 'onnxruntime="1.' in build
    assert "pneumoscope_queue_limit 64.0" in lines
