import numpy as np
import pytest

from contract.decision import Decision, Reason
from contract.errors import NotAnImage
from contract.findings import Label
from contract.radiograph import Radiograph
from service import __version__
from service.metrics import Metrics
from service.prediction import ImageFailure, ImageResult, Prediction, StageTimes
from service.repository import ModelRepository, ServedModel
from service.session import ModelOutput
from tests.bundles import make_manifest, make_variant

CPU = "CPUExecutionProvider"
MODEL = f'model="tiny",provider="{CPU}",version="1"'


class Session:
    provider = CPU

    def run(self, images: object, *, activation_map: bool = False) -> ModelOutput:
        raise NotImplementedError


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def served(version: int = 1) -> ServedModel:
    return ServedModel(make_manifest("sha256:" + 64 * "0", version=version), Session())


def answer(
    model: ServedModel, label: Label | None, reasons: tuple[Reason, ...] = ()
) -> ImageResult:
    return ImageResult(
        name="doe^jane.dcm",
        sha256="0",
        times=StageTimes(decode_s=0.003, queue_s=0.0001, inference_s=0.02),
        model=model,
        image=Radiograph(np.zeros((0, 0), np.uint8), "PNG", 64, 64, 1, 1, None),
        probabilities=np.array([0.25, 0.75], np.float32),
        decision=Decision(present=(False, True), label=label, reasons=reasons),
        quality=None,
        familiarity=None,
        heatmap=None,
    )


def exposed(metrics: Metrics) -> list[str]:
    return metrics.exposition().decode().splitlines()


def test_images_are_counted_by_decision_and_by_every_reason_of_a_referral(metrics: Metrics) -> None:
    model = served()
    referred = answer(model, None, ("quality.contrast", "out_of_distribution"))
    rejected = ImageFailure("doe^jane.txt", "1", StageTimes(), NotAnImage("text"))

    results = (answer(model, "pneumonia"), referred, rejected)
    metrics.prediction(Prediction(model, results, StageTimes(), 0.05), encode_s=0.0002)

    lines = exposed(metrics)
    images = 'pneumoscope_images_total{decision="%s",model="tiny",version="1"} 1.0'
    reasons = 'pneumoscope_images_referred_total{model="tiny",reason="%s",version="1"} 1.0'
    assert {images % "pneumonia", images % "refer"} <= set(lines)
    assert {reasons % "quality.contrast", reasons % "out_of_distribution"} <= set(lines)
    assert 'pneumoscope_images_rejected_total{reason="not-an-image"} 1.0' in lines
    assert "doe" not in "".join(lines)


def test_each_stage_is_timed_by_model_and_provider(metrics: Metrics) -> None:
    model = served()
    results = (answer(model, "pneumonia"), answer(model, "normal"))

    metrics.prediction(Prediction(model, results, StageTimes(), 0.05), encode_s=0.01)

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

    metrics.prediction(Prediction(model, (answer(model, "pneumonia"),), StageTimes(), 0.05), 0.01)

    bucket = 'pneumoscope_probability_bucket{label="%s",le="%s",model="tiny",version="1"} %s'
    lines = exposed(metrics)
    assert bucket % ("normal", "0.2", "0.0") in lines
    assert bucket % ("normal", "0.3", "1.0") in lines
    assert bucket % ("pneumonia", "0.7", "0.0") in lines
    assert bucket % ("pneumonia", "0.8", "1.0") in lines


def test_batches_are_counted_by_their_size(metrics: Metrics) -> None:
    for size in (1, 3, 4):
        metrics.batch(served(), size)

    bucket = f'pneumoscope_batch_size_bucket{{le="%s",{MODEL}}} %s'
    assert {bucket % ("1.0", "1.0"), bucket % ("2.0", "1.0"), bucket % ("4.0", "3.0")} <= set(
        exposed(metrics)
    )


def test_the_models_that_are_named_are_those_that_are_served_now(metrics: Metrics) -> None:
    metrics.models(ModelRepository({"tiny": {1: served(1), 2: served(2)}}))
    metrics.models(ModelRepository({"tiny": {3: served(3)}}))

    named = [line for line in exposed(metrics) if line.startswith("pneumoscope_model_info{")]
    assert len(named) == 1
    assert 'version="3"' in named[0]


def test_a_model_is_named_with_the_digest_of_the_file_that_runs(metrics: Metrics) -> None:
    variant = make_variant("int8", "sha256:" + 64 * "8")
    manifest = make_manifest("sha256:" + 64 * "0").model_copy(update={"variants": (variant,)})

    model = ServedModel(manifest, Session(), precision="int8")
    metrics.models(ModelRepository({"tiny": {1: model}}))

    (named,) = [line for line in exposed(metrics) if line.startswith("pneumoscope_model_info{")]
    assert f'digest="{variant.digest}"' in named


def test_a_refused_request_is_counted_by_its_problem(metrics: Metrics) -> None:
    metrics.request("/predict", 429, "queue-full")
    metrics.request("/predict", 200)

    refused = [line for line in exposed(metrics) if line.startswith("pneumoscope_requests_refused")]
    assert refused[0] == 'pneumoscope_requests_refused_total{reason="queue-full"} 1.0'


def test_a_reload_is_counted_by_what_it_did_and_what_is_refused_now_is_shown(
    metrics: Metrics,
) -> None:
    metrics.reload(loaded=2, unloaded=1, refused=1)
    metrics.reload(loaded=1, unloaded=0, refused=0)

    lines = exposed(metrics)
    assert 'pneumoscope_model_changes_total{change="loaded"} 3.0' in lines
    assert 'pneumoscope_model_changes_total{change="refused"} 1.0' in lines
    assert "pneumoscope_bundles_refused 0.0" in lines


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
