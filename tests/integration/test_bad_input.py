"""Every row of the contract's error table, sent over HTTP, and after each a good image."""

import io
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

from service.settings import Settings
from tests.bundles import write_fragile_bundle
from tests.integration.live import JPEG, Live, problem, serving
from tests.synthetic import as_dicom, as_jpeg, as_png, synthetic_radiograph

# As long as the identifier that it takes the place of.
UNKNOWN_SYNTAX = "1.2.840.10008.1.2.9"


@pytest.fixture(autouse=True)
def a_good_image_is_answered_afterwards(live: Live, radiograph: bytes) -> Iterator[None]:
    yield
    assert live.predict(radiograph).status_code == 200
    assert live.in_flight() == 0


def structured_report() -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = ComprehensiveSRStorage
    dataset.SOPInstanceUID = "2.25.1"
    dataset.Modality = "SR"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def gif(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "GIF")
    return file.getvalue()


SMALL = synthetic_radiograph(64, 64)
IN_AN_UNKNOWN_SYNTAX = as_dicom(SMALL).replace(
    str(ExplicitVRLittleEndian).encode(), UNKNOWN_SYNTAX.encode(), 1
)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (b"not an image", (422, "not-an-image")),
        (as_jpeg(SMALL)[:400], (422, "corrupt-image")),
        (as_dicom(SMALL, Rows=128), (422, "pixel-data-mismatch")),
        (as_dicom(SMALL.astype(np.float32)), (415, "unsupported-format")),
        (gif(SMALL), (415, "unsupported-format")),
        (IN_AN_UNKNOWN_SYNTAX, (415, "unsupported-transfer-syntax")),
        (structured_report(), (422, "no-pixel-data")),
        (as_dicom(SMALL, Modality="MG"), (422, "unsuitable-image")),
        (as_dicom(SMALL, BodyPartExamined="KNEE"), (422, "unsuitable-image")),
        (as_png(np.zeros((2001, 2000), np.uint8)), (413, "too-many-pixels")),
        (b"", (422, "no-file")),
        (b"\0" * 1_000_001, (413, "body-too-large")),
    ],
    ids=[
        *("not an image", "truncated", "mismatch", "floats", "format", "transfer syntax"),
        *("no image in it", "modality", "body part", "pixels", "no file", "body"),
    ],
)
def test_a_bad_file_has_the_status_that_the_contract_names(
    live: Live, file: bytes, expected: tuple[int, str]
) -> None:
    assert problem(live.predict(file)) == expected


def test_a_transfer_syntax_that_is_not_decoded_is_named(live: Live) -> None:
    response = live.predict(IN_AN_UNKNOWN_SYNTAX)

    assert UNKNOWN_SYNTAX in response.json()["detail"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"explain": "shap"}, (422, "invalid-parameter")),
        ({"priority": "now"}, (422, "invalid-parameter")),
        ({"frame": 0}, (422, "invalid-parameter")),
        ({"version": "latest"}, (422, "invalid-parameter")),
        ({"modle": "tiny"}, (422, "invalid-parameter")),
        ({"frame": 2}, (422, "frame-out-of-range")),
        ({"model": "nobody"}, (404, "unknown-model")),
        ({"model": "tiny", "version": 9}, (404, "unknown-model")),
        ({"version": 9}, (404, "unknown-model")),
    ],
)
def test_a_bad_query_has_the_status_that_the_contract_names(
    live: Live, radiograph: bytes, query: dict[str, object], expected: tuple[int, str]
) -> None:
    assert problem(live.predict(radiograph, **query)) == expected


def test_a_wrong_parameter_is_named(live: Live, radiograph: bytes) -> None:
    response = live.predict(radiograph, priority="now")

    assert response.json()["detail"] == "priority: Input should be 'routine' or 'stat'."


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("multipart/form-data; boundary=b", b"--b--\r\n", "no-file"),
        ("multipart/form-data; boundary=b", b"", "malformed-multipart"),
        ("multipart/form-data; boundary=b", b"--c\r\n\r\n", "malformed-multipart"),
        ("multipart/form-data", b"--b--\r\n", "malformed-multipart"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx\r\n--b--\r\n',
            "no-file",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx',
            "malformed-multipart",
        ),
    ],
)
def test_a_multipart_body_that_cannot_be_taken_apart_is_refused(
    live: Live, content_type: str, body: bytes, expected: str
) -> None:
    response = live.client.post("/predict", content=body, headers={"Content-Type": content_type})

    assert problem(response) == (422, expected)


def test_more_files_than_allowed_are_refused(live: Live, radiograph: bytes) -> None:
    response = live.predict_files(*[("a.jpg", radiograph)] * 5)

    assert problem(response) == (413, "too-many-files")


@pytest.mark.parametrize("multipart", [False, True])
def test_a_body_in_chunks_that_grows_too_large_is_refused(
    live: Live,
    multipart: bool,  # noqa: FBT001
) -> None:
    content_type = "multipart/form-data; boundary=b" if multipart else "image/png"
    head = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' if multipart else b""

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(20):
            yield b"\0" * 100_000

    response = live.client.post("/predict", content=body(), headers={"Content-Type": content_type})

    assert problem(response) == (413, "body-too-large")


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(live: Live) -> None:
    with socket.create_connection(("127.0.0.1", live.server.port)) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_an_unknown_address_and_a_wrong_method_are_problems_too(live: Live) -> None:
    assert problem(live.client.get("/nowhere")) == (404, "not-found")
    wrong_method = live.client.get("/predict")
    assert problem(wrong_method) == (405, "method-not-allowed")
    assert wrong_method.headers["allow"] == "OPTIONS, POST"


def test_a_model_that_fails_is_a_500_that_says_nothing_of_the_inside(
    tmp_path: Path, radiograph: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    write_fragile_bundle(tmp_path)

    with serving(Settings(models_dir=tmp_path, port=0)) as fragile:
        white = as_png(np.full((64, 64), 255, np.uint8))
        response = fragile.predict(white)
        several = fragile.predict_files(("white.png", white), ("chest.jpg", radiograph))
        afterwards = fragile.predict(radiograph)

    assert problem(response) == (500, "internal-error")
    assert not re.search("onnx|Gather|Error|/", response.json()["detail"])
    assert afterwards.status_code == 200
    failed, answered = several.json()["results"]
    assert (failed["status"], failed["problem"]["type"]) == ("error", "/problems/internal-error")
    assert answered["status"] == "ok"
    assert '"reason":"[ONNXRuntimeError]' in capfd.readouterr().out


def test_a_connection_that_breaks_off_within_its_body_leaves_nothing(live: Live) -> None:
    with socket.create_connection(("127.0.0.1", live.server.port)) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"
        )


def test_a_problem_type_is_an_address_that_answers(live: Live) -> None:
    refused = live.client.post("/predict", content=b"not an image", headers=JPEG).json()

    described = live.client.get(refused["type"])

    assert described.json() == {name: refused[name] for name in ("type", "title", "status")}
    assert problem(live.client.get("/problems/none")) == (404, "not-found")
