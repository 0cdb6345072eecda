"""The Open Inference Protocol, spoken by tritonclient to a running service."""

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from tests.bundles import SIZE, expected_pneumonia, write_bundle, write_fragile_bundle
from tests.integration.live import Live, eventually, serving_models
from tests.synthetic import as_dicom, as_png, synthetic_radiograph

INFER = "/v2/models/tiny/infer"
GRAYS = (0, 100, 255)
BATCH = np.stack([np.full((SIZE, SIZE, 1), gray, np.uint8) for gray in GRAYS])
PNEUMONIA = [pytest.approx(expected_pneumonia(image), abs=1e-5) for image in BATCH]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("models")
    write_bundle(folder, "tiny", 1)
    write_bundle(folder, "tiny", 2, ood_limit=10.0)
    write_fragile_bundle(folder)
    with serving_models(folder, max_body_bytes=1_000_000, max_files=4) as live:
        yield live


@pytest.fixture(autouse=True)
def nothing_is_left_in_flight(served: Live) -> Iterator[None]:
    yield
    eventually(lambda: served.in_flight() == 0)


@pytest.fixture(scope="module")
def client(served: Live) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(f"127.0.0.1:{served.server.port}", concurrency=4) as client:
        yield client


def arrays(image: NDArray[np.uint8] = BATCH, *, binary: bool = True) -> list[InferInput]:
    tensor = InferInput("image", list(image.shape), "UINT8")
    return [tensor.set_data_from_numpy(image, binary_data=binary)]


def files(*data: bytes) -> list[InferInput]:
    tensor = InferInput("image", [len(data)], "BYTES")
    return [tensor.set_data_from_numpy(np.array(data, dtype=object))]


def flat(gray: int) -> bytes:
    return as_png(np.full((40, 40), gray, np.uint8))


def test_the_server_says_what_and_how_it_is(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["name"] == "pneumoscope"
    assert client.get_server_metadata()["extensions"] == [
        "binary_tensor_data",
        "model_configuration",
        "statistics",
    ]


def test_a_model_is_described_as_its_signature_is(client: InferenceServerClient) -> None:
    latest, first = client.get_model_metadata("tiny"), client.get_model_metadata("tiny", "1")

    assert (latest["name"], latest["versions"]) == ("tiny", ["1", "2"])
    assert latest["platform"] == "onnxruntime_onnx"
    assert latest["inputs"] == [
        {"name": "image", "datatype": "UINT8", "shape": [-1, SIZE, SIZE, 1]}
    ]
    assert latest["outputs"] == [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "logits", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "activation_map", "datatype": "FP32", "shape": [-1, 4, 4, 2]},
        {"name": "ood_score", "datatype": "FP32", "shape": [-1]},
    ]
    assert first["outputs"] == latest["outputs"][:3]


@pytest.mark.parametrize(
    ("model", "version", "ready"),
    [("tiny", "", True), ("tiny", "1", True), ("tiny", "3", False), ("none", "", False)],
)
def test_a_model_is_ready_where_it_is_served(
    client: InferenceServerClient, model: str, version: str, *, ready: bool
) -> None:
    assert client.is_model_ready(model, version) == ready


@pytest.mark.parametrize("binary", [True, False])
def test_arrays_get_all_outputs(client: InferenceServerClient, *, binary: bool) -> None:
    result = client.infer("tiny", arrays(binary=binary), request_id="study 7")

    answer = result.get_response()
    assert (answer["model_name"], answer["model_version"]) == ("tiny", "2")
    assert answer["id"] == "study 7"
    probabilities, logits = result.as_numpy("probabilities"), result.as_numpy("logits")
    assert list(probabilities[:, 1]) == PNEUMONIA
    odds = np.exp(logits)
    np.testing.assert_allclose(odds / odds.sum(1, keepdims=True), probabilities, rtol=1e-4)
    assert result.as_numpy("activation_map").shape == (3, 4, 4, 2)
    np.testing.assert_array_equal(result.as_numpy("ood_score"), np.zeros(3, np.float32))


def test_only_the_asked_for_outputs_come_each_in_its_form(client: InferenceServerClient) -> None:
    asked = [
        InferRequestedOutput("ood_score", binary_data=False),
        InferRequestedOutput("probabilities", binary_data=True),
    ]

    result = client.infer("tiny", arrays(), outputs=asked)

    score, probabilities = result.get_response()["outputs"]
    assert score == {"name": "ood_score", "datatype": "FP32", "shape": [3], "data": [0.0] * 3}
    assert probabilities["parameters"] == {"binary_data_size": 3 * 2 * 4}
    assert list(result.as_numpy("probabilities")[:, 1]) == PNEUMONIA


def test_image_files_of_every_kind_are_answered_in_order(
    served: Live, client: InferenceServerClient
) -> None:
    radiograph = synthetic_radiograph(300, 400)
    dicom, png = as_dicom(radiograph), as_png(radiograph)

    result = client.infer("tiny", files(flat(255), dicom, flat(0), png), model_version="1")

    probabilities = result.as_numpy("probabilities")[:, 1]
    assert probabilities[0] > 0.99 > 0.01 > probabilities[2]
    for index, file in ((1, dicom), (3, png)):
        [answer] = served.predict(file, model="tiny", version=1).json()["results"]
        found = {each["label"]: each["probability"] for each in answer["findings"]}
        assert probabilities[index] == pytest.approx(found["pneumonia"], rel=1e-5)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_request_is_answered(client: InferenceServerClient, encoding: str) -> None:
    result = client.infer("tiny", arrays(), request_compression_algorithm=encoding)

    assert list(result.as_numpy("probabilities")[:, 1]) == PNEUMONIA


def test_answers_of_requests_at_the_same_time_are_not_mixed_up(
    client: InferenceServerClient,
) -> None:
    grays = [0, 80, 160, 240]
    images = [np.full((1, SIZE, SIZE, 1), gray, np.uint8) for gray in grays]

    pending = [client.async_infer("tiny", arrays(image)) for image in images]
    results = [request.get_result() for request in pending]

    found = [float(result.as_numpy("probabilities")[0, 1]) for result in results]
    assert found == [pytest.approx(expected_pneumonia(image), abs=1e-5) for image in images]


@pytest.mark.parametrize(
    ("call", "status", "sentence"),
    [
        (lambda c: c.infer("none", arrays()), "404", "no model of that name"),
        (lambda c: c.infer("tiny", arrays(), model_version="3"), "404", "There are: 1, 2"),
        (lambda c: c.infer("tiny", arrays(), model_version="x"), "404", "is a number"),
        (lambda c: c.infer("tiny", arrays(), priority=9), "400", "priority must be"),
        (lambda c: c.infer("tiny", arrays(BATCH[:, 1:])), "400", "[batch, 32, 32, 1]"),
        (lambda c: c.infer("tiny", arrays(np.concatenate([BATCH] * 2))), "413", "at most 4"),
        (
            lambda c: c.infer("tiny", arrays(), outputs=[InferRequestedOutput("heat")]),
            "400",
            "There is no such output",
        ),
        (lambda c: c.infer("tiny", files(flat(0), b"a letter")), "422", "image[1]: The bytes are"),
        (lambda c: c.infer("tiny", files(flat(0)[:-60])), "422", "image[0]:"),
        (lambda c: c.infer("fragile", arrays()), "500", "X-Request-ID"),
        (lambda c: c.get_model_config("none"), "404", "no model of that name"),
        (lambda c: c.get_inference_statistics("none"), "404", "no model of that name"),
        (lambda c: c.get_trace_settings("tiny"), "404", "nothing at this address"),
    ],
)
def test_a_client_is_told_what_was_wrong(
    client: InferenceServerClient,
    call: Callable[[InferenceServerClient], object],
    status: str,
    sentence: str,
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        call(client)

    assert (caught.value.status(), sentence in caught.value.message()) == (status, True)
    assert client.infer("tiny", arrays()).as_numpy("probabilities").shape == (3, 2)


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "expected"),
    [
        ("POST", INFER, b"\xff\xfe", {}, 400),
        ("POST", INFER, b"{}", {"Inference-Header-Content-Length": "1"}, 400),
        ("POST", INFER, b"no gzip", {"Content-Encoding": "gzip"}, 400),
        ("POST", INFER, b"{}", {"Content-Encoding": "br"}, 415),
        ("POST", INFER, bytes(1_000_001), {}, 413),
        ("POST", INFER, gzip.compress(bytes(1_000_001)), {"Content-Encoding": "gzip"}, 413),
        ("GET", INFER, b"", {}, 405),
        ("POST", "/v2", b"", {}, 405),
        ("GET", "/v2/x", b"", {}, 404),
    ],
)
def test_what_is_no_request_is_answered_with_the_protocols_error(
    served: Live, method: str, path: str, content: bytes, headers: dict[str, str], expected: int
) -> None:
    response = served.client.request(method, path, content=content, headers=headers)

    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    assert response.status_code == expected
    assert response.json()["error"].endswith(".")
    eventually(lambda: served.server.runtime.receive_budget.held == 0)


def test_a_model_is_configured_as_triton_describes_it(client: InferenceServerClient) -> None:
    config = client.get_model_config("tiny", "1")

    assert (config["name"], config["max_batch_size"]) == ("tiny", 4)
    assert config["input"] == [
        {"name": "image", "data_type": "TYPE_UINT8", "dims": [SIZE, SIZE, 1]}
    ]
    assert [(each["name"], each["dims"]) for each in config["output"]] == [
        ("probabilities", [2]),
        ("logits", [2]),
        ("activation_map", [4, 4, 2]),
    ]


def test_what_a_model_answered_is_counted(served: Live, client: InferenceServerClient) -> None:
    def statistics(version: str) -> dict[str, Any]:
        (found,) = client.get_inference_statistics("tiny", version)["model_stats"]
        return dict(found)

    before, other = statistics("1"), statistics("2")
    client.infer("tiny", files(flat(7), flat(9)), model_version="1")
    after = statistics("1")

    def grown(field: str) -> tuple[int, int]:
        new, old = after["inference_stats"][field], before["inference_stats"][field]
        return new["count"] - old["count"], new["ns"] - old["ns"]

    assert after["inference_count"] - before["inference_count"] == 2
    # Images can share a run.
    assert 1 <= after["execution_count"] - before["execution_count"] <= 2
    assert after["last_inference"] > before["last_inference"]
    assert grown("success")[0] == grown("compute_output")[0] == 1
    assert {grown(f"compute_{field}")[0] for field in ("input", "infer")} == {2}
    # Two images may be worked on at the same time.
    assert 2 * grown("success")[1] >= grown("compute_infer")[1] > 0
    assert statistics("2") == other
    counter = 'pneumoscope_images_total{decision="none",model="tiny",version="1"}'
    assert f"{counter} " in served.client.get("/metrics").text


def test_a_run_that_failed_is_counted_as_such(client: InferenceServerClient) -> None:
    def failures() -> int:
        every = client.get_inference_statistics()["model_stats"]
        (fragile,) = (each for each in every if each["name"] == "fragile")
        return int(fragile["inference_stats"]["fail"]["count"])

    before = failures()
    with pytest.raises(InferenceServerException):
        client.infer("fragile", arrays())

    assert failures() == before + 1
