import numpy as np
import pytest

from contract.decision import Decision
from contract.findings import Label
from contract.radiograph import Radiograph
from service import __version__
from service.domain import CPU, ImageResult, Prediction, ServedModel
from service.metrics import Metrics
from tests.bundles import make_manifest, make_variant
from tests.sessions import running, served

MODEL = served(running())


def answer(label: Label) -> ImageResult:
    return ImageResult(
        name="doe^jane.dcm",
        sha256="0",
        times={"decode": 0.003, "queue": 0.0001, "inference": 0.02},
        model=MODEL,
        image=Radiograph(np.zeros((0, 0), np.uint8), "PNG", 64, 64, 1, 1, None),
        probabilities=np.array([0.25, 0.75], np.float32),
        decision=Decision(present=(False, True), label=label),
    )


def exposed(metrics: Metrics) -> list[str]:
    return metrics.exposition().decode().splitlines()


def test_gauges_of_several_processes_are_the_sum_of_the_living() -> None:
    metrics = Metrics()

    gauges = (metrics.queue_limit, metrics.in_flight, metrics.queue_depth)
    assert {gauge._multiprocess_mode for gauge in gauges} == {"livesum"}


def test_each_stage_is_timed_and_the_scores_of_each_class_are_a_histogram() -> None:
    metrics = Metrics()

    metrics.prediction(Prediction(MODEL, (answer("pneumonia"), answer("normal")), 0.05), 0.01)

    lines = exposed(metrics)
    sums = {
        line.partition('stage="')[2].partition('"')[0]: float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("pneumoscope_stage_seconds_sum{")
    }
    assert sums == pytest.approx(
        {"decode": 0.006, "queue": 0.0002, "inference": 0.04, "encode": 0.01, "total": 0.06}
    )
    bucket = 'pneumoscope_probability_bucket{label="%s",le="%s",model="tiny",version="1"} %s'
    assert bucket % ("normal", "0.2", "0.0") in lines
    assert bucket % ("normal", "0.3", "2.0") in lines
    assert bucket % ("pneumonia", "0.7", "0.0") in lines
    assert bucket % ("pneumonia", "0.8", "2.0") in lines
    assert not any("_created" in line for line in lines)


def test_batches_are_counted_by_their_size() -> None:
    metrics = Metrics()

    for size in (1, 3, 4):
        metrics.batch(MODEL, size)

    labels = f'model="tiny",provider="{CPU}",version="1"'
    buckets = {
        f'pneumoscope_batch_size_bucket{{le="{most}",{labels}}} {count}'
        for most, count in (("1.0", "1.0"), ("2.0", "1.0"), ("4.0", "3.0"))
    }
    assert buckets <= set(exposed(metrics))


def test_a_model_is_named_with_the_digest_of_the_file_that_runs_and_so_are_the_versions() -> None:
    variant = make_variant("int8", "sha256:" + 64 * "8")
    manifest = make_manifest("sha256:" + 64 * "0").model_copy(update={"variants": (variant,)})
    metrics = Metrics()

    metrics.models([ServedModel(manifest, running(), precision="int8")])

    lines = exposed(metrics)
    (named,) = [line for line in lines if line.startswith("pneumoscope_model_info{")]
    (build,) = [line for line in lines if line.startswith("pneumoscope_build_info{")]
    assert f'digest="{variant.digest}"' in named
    assert f'version="{__version__}"' in build
    assert 'onnxruntime="1.' in build
