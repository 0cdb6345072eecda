"""Every row of the contract's error table, sent over HTTP, and after each a good image."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

from tests.bundles import write_fragile_bundle
from tests.integration.live import HEAD, JPEG, Live, connect, eventually, problem, serving_models
from tests.synthetic import as_dicom, as_jpeg, as_png, saved, synthetic_radiograph

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


SMALL = synthetic_radiograph(64, 64)
IN_AN_UNKNOWN_SYNTAX = as_dicom(SMALL).replace(
    str(ExplicitVRLittleEndian).encode(), UNKNOWN_SYNTAX.encode(), 1
)


@pytest.mark.parametrize(
    ("file", "expected", "says"),
    [
        (b"not an image", (422, "not-an-image"), ""),
        (as_jpeg(SMALL)[:400], (422, "corrupt-image"), ""),
        (as_dicom(SMALL, Rows=128), (422, "pixel-data-mismatch"), ""),
        (as_dicom(SMALL.astype(np.float32)), (415, "unsupported-format"), ""),
        (saved(SMALL, "GIF"), (415, "unsupported-format"), ""),
        (IN_AN_UNKNOWN_SYNTAX, (415, "unsupported-transfer-syntax"), UNKNOWN_SYNTAX),
        (structured_report(), (422, "no-pixel-data"), ""),
        (as_dicom(SMALL, Modality="MG"), (422, "unsuitable-image"), ""),
        (as_dicom(SMALL, BodyPartExamined="KNEE"), (422, "unsuitable-image"), ""),
        (as_png(np.zeros((2001, 2000), np.uint8)), (413, "too-many-pixels"), ""),
        (b"", (422, "no-file"), ""),
        (b"\0" * 1_000_001, (413, "body-too-large"), ""),
    ],
    ids=[
        *("not an image", "truncated", "mismatch", "floats", "format", "transfer syntax"),
        *("no image in it", "modality", "body part", "pixels", "no file", "body"),
    ],
)
def test_a_bad_file_has_the_status_that_the_contract_names(
    live: Live, file: bytes, expected: tuple[int, str], says: str
) -> None:
    response = live.predict(file)

    assert problem(response) == expected
    assert says in response.json()["detail"]


@pytest.mark.parametrize(
    ("query", "expected", "says"),
    [
        ({"explain": "shap"}, (422, "invalid-parameter"), ""),
        (
            {"priority": "now"},
            (422, "invalid-parameter"),
            "priority: Input should be 'routine' or 'stat'.",
        ),
        ({"frame": 0}, (422, "invalid-parameter"), ""),
        ({"version": "latest"}, (422, "invalid-parameter"), ""),
        ({"model": ""}, (422, "invalid-parameter"), ""),
        (
            {"explain": "tuberculosis"},
            (422, "invalid-parameter"),
            "explain: the model tiny has no finding tuberculosis. It has: normal, pneumonia.",
        ),
        ({"frame": 2}, (422, "frame-out-of-range"), ""),
        ({"model": "nobody"}, (404, "unknown-model"), ""),
        ({"model": "tiny", "version": 9}, (404, "unknown-model"), ""),
        ({"version": 9}, (404, "unknown-model"), ""),
    ],
)
def test_a_bad_query_has_the_status_that_the_contract_names(
    live: Live, radiograph: bytes, query: dict[str, object], expected: tuple[int, str], says: str
) -> None:
    response = live.predict(radiograph, **query)

    assert problem(response) == expected
    assert response.json()["detail"] == (says or response.json()["detail"])


FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\nx'


@pytest.mark.parametrize(
    ("content_type", "body", "expected", "says"),
    [
        (FORM, b"--b--\r\n", "no-file", ""),
        (FORM, PART % b"model" + b"\r\n--b--\r\n", "no-file", ""),
        (FORM, b"", "malformed-multipart", "no boundary line"),
        (FORM, b"--c\r\n\r\n", "malformed-multipart", "not well-formed"),
        (FORM, b"--b\r\n\r\nx\r\n--b--\r\n", "malformed-multipart", "has no name"),
        (FORM, PART % b"file", "malformed-multipart", "breaks off"),
        ("multipart/form-data", b"--b--\r\n", "malformed-multipart", "has no boundary"),
        (FORM + "b" * 999, b"--b--\r\n", "malformed-multipart", "not well-formed"),
    ],
)
def test_a_multipart_body_that_cannot_be_taken_apart_is_refused(
    live: Live, content_type: str, body: bytes, expected: str, says: str
) -> None:
    response = live.client.post("/predict", content=body, headers={"Content-Type": content_type})

    assert problem(response) == (422, expected)
    assert says in response.json()["detail"]


def test_more_files_than_allowed_are_refused(live: Live, radiograph: bytes) -> None:
    response = live.predict_files(*[("a.jpg", radiograph)] * 5)

    assert problem(response) == (413, "too-many-files")
    assert "at most 4 files" in response.json()["detail"]


@pytest.mark.parametrize("multipart", [False, True])
def test_a_body_in_chunks_that_grows_too_large_is_refused(
    live: Live,
    multipart: bool,  # noqa: FBT001
) -> None:
    content_type = FORM if multipart else "image/png"

    def body() -> Iterator[bytes]:
        yield PART % b"file" if multipart else b""
        for _ in range(20):
            yield b"\0" * 100_000

    response = live.client.post("/predict", content=body(), headers={"Content-Type": content_type})

    assert problem(response) == (413, "body-too-large")


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(live: Live) -> None:
    with connect(live.server.port) as connection:
        connection.sendall(
            (HEAD % 99999999).removesuffix(b"\r\n") + b"Expect: 100-continue\r\n\r\n"
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

    with serving_models(tmp_path) as fragile:
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


@pytest.mark.parametrize(
    ("content_type", "half"), [("image/png", b"abc"), (FORM, PART % b"file")], ids=["file", "form"]
)
def test_a_connection_that_breaks_off_within_its_body_leaves_nothing(
    live: Live, content_type: str, half: bytes
) -> None:
    def gone() -> list[str]:
        lines = live.client.get("/metrics").text.splitlines()
        return [line for line in lines if 'route="/predict",status="499"' in line]

    before = gone()
    with connect(live.server.port) as connection:
        head = (HEAD % 1000).removesuffix(b"\r\n")
        connection.sendall(head + f"Content-Type: {content_type}\r\n\r\n".encode() + half)

    # Half an upload is not judged as a file.
    eventually(lambda: gone() != before)


def test_a_problem_type_is_an_address_that_answers(live: Live) -> None:
    refused = live.client.post("/predict", content=b"not an image", headers=JPEG).json()

    described = live.client.get(refused["type"])

    assert described.json() == {name: refused[name] for name in ("type", "title", "status")}
    assert problem(live.client.get("/problems/none")) == (404, "not-found")
