import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.manifest import read_manifest
from service.schemas import ImageAnswer, ImageRejection, PredictionBody
from tests.bundles import expected_pneumonia, write_bundle, write_segmenter_bundle
from tests.integration.live import JPEG, Live, pixels_of, problem, serving_models
from tests.synthetic import as_dicom, as_jpeg, as_png, as_tiff, synthetic_radiograph


def flat(value: int, rows: int = 64, columns: int = 64) -> bytes:
    return as_png(np.full((rows, columns), value, np.uint8))


def test_the_answer_is_what_the_contract_says(live: Live, models: Path, radiograph: bytes) -> None:
    manifest = read_manifest(models / "tiny" / "2")

    response = live.predict(radiograph)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = PredictionBody.model_validate_json(response.content)
    assert uuid.UUID(body.id).version == 7
    assert body.model.model_dump(exclude_unset=True) == {
        "name": "tiny",
        "version": 2,
        "digest": manifest.digest,
        "intended_use": "Research only. Not for diagnosis.",
    }
    assert body.execution_provider == "CPUExecutionProvider"
    (answer,) = body.results
    assert isinstance(answer, ImageAnswer)
    assert answer.file is None
    assert answer.sha256 == hashlib.sha256(radiograph).hexdigest()
    assert [(f.label, f.code.code, f.operating_point) for f in answer.findings] == [
        ("normal", "17621005", 0.9),
        ("pneumonia", "233604007", 0.9),
    ]
    assert {f.code.system for f in answer.findings} == {"http://snomed.info/sct"}
    assert "heatmap" not in response.json()["results"][0]
    timing = body.timing_ms
    assert min(timing.decode, timing.inference) > 0
    assert timing.total >= timing.decode + timing.inference


@pytest.mark.parametrize(
    ("brightness", "decision", "present", "reasons"),
    [
        (250, "pneumonia", [False, True], []),
        (10, "normal", [True, False], []),
        (128, "refer", [False, False], ["uncertain"]),
    ],
)
def test_different_images_get_different_answers(
    live: Live, brightness: int, decision: str, present: list[bool], reasons: list[str]
) -> None:
    expected = expected_pneumonia(np.full((1, 1), brightness, np.uint8))

    answer = live.answer(flat(brightness))

    assert answer.decision == decision
    assert answer.reasons == reasons
    assert [finding.present for finding in answer.findings] == present
    assert answer.findings[1].probability == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/dicom", "image/png"])
def test_the_content_decides_and_not_the_declared_type(
    live: Live, radiograph: bytes, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    response = live.client.post("/predict", content=radiograph, headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize("encode", [as_jpeg, as_png, as_tiff, as_dicom])
def test_every_format_gets_the_same_finding(
    live: Live, encode: Callable[[NDArray[np.uint8]], bytes]
) -> None:
    assert live.answer(encode(np.full((64, 64), 240, np.uint8))).decision == "pneumonia"


def test_several_files_are_answered_in_order_and_a_bad_one_holds_up_no_other(live: Live) -> None:
    response = live.predict_files(
        ("dark.png", flat(0)), ("notes.txt", b"no image"), ("bright.png", flat(255))
    )

    assert response.status_code == 200
    body = PredictionBody.model_validate_json(response.content)
    dark, notes, bright = body.results
    assert isinstance(dark, ImageAnswer)
    assert (dark.file, dark.decision) == ("dark.png", "normal")
    assert isinstance(notes, ImageRejection)
    assert (notes.file, notes.problem.type) == ("notes.txt", "/problems/not-an-image")
    assert notes.problem.instance == f"urn:request:{response.headers['x-request-id']}"
    assert notes.sha256 == hashlib.sha256(b"no image").hexdigest()
    assert isinstance(bright, ImageAnswer)
    assert (bright.file, bright.decision) == ("bright.png", "pneumonia")


def test_files_that_are_all_bad_are_answered_one_by_one_and_one_alone_with_its_own_status(
    live: Live,
) -> None:
    body = live.predict_files(("a.txt", b"no image"), ("b.txt", b"nor this")).json()
    alone = live.predict_files(("notes.txt", b"no image"))

    assert [result["status"] for result in body["results"]] == ["error", "error"]
    assert body["model"]["name"] == "tiny"
    assert problem(alone) == (422, "not-an-image")


def test_a_body_in_chunks_is_read_as_a_whole(live: Live, radiograph: bytes) -> None:
    pieces = (radiograph[start : start + 1000] for start in range(0, len(radiograph), 1000))

    response = live.client.post("/predict", content=pieces, headers=JPEG)

    assert response.json()["results"][0]["sha256"] == hashlib.sha256(radiograph).hexdigest()


@pytest.mark.parametrize(
    ("rows", "columns", "size", "explain"),
    [
        (300, 200, (200, 300), "heatmap"),
        (1500, 750, (512, 1024), "pneumonia"),
        (200, 200, (200, 200), "normal"),
    ],
)
def test_a_heatmap_is_a_gray_png_over_the_radiograph_of_the_finding_that_is_asked_for(
    live: Live, rows: int, columns: int, size: tuple[int, int], explain: str
) -> None:
    image = np.zeros((rows, columns), np.uint8)
    image[: rows // 2] = 255

    heatmap = live.answer(as_png(image), explain=explain).heatmap

    pixels = pixels_of(heatmap)
    assert heatmap is not None
    assert explain in ("heatmap", heatmap.label)
    assert (heatmap.width, heatmap.height) == size
    upper, lower = pixels[: size[1] // 4], pixels[-size[1] // 4 :]
    bright, dark = (upper, lower) if heatmap.label == "pneumonia" else (lower, upper)
    assert bright.min() > 200
    assert dark.max() == 0


def test_a_heatmap_of_a_jpeg_has_the_size_of_the_original_and_not_of_the_reduced_decode(
    live: Live,
) -> None:
    heatmap = live.answer(as_jpeg(synthetic_radiograph(900, 700)), explain="heatmap").heatmap

    assert pixels_of(heatmap).shape == (900, 700)


def test_each_file_of_a_request_is_answered_by_the_model_that_takes_it(live: Live) -> None:
    response = live.predict_files(
        ("notes.txt", b"no image"),
        ("chest.dcm", as_dicom(synthetic_radiograph())),
        ("slice.dcm", as_dicom(np.full((64, 64), 200, np.uint8), Modality="CT")),
    )

    body = response.json()
    assert body["model"]["name"] == "tiny"
    assert [result["status"] for result in body["results"]] == ["error", "ok", "ok"]
    assert [result["model"]["name"] for result in body["results"][1:]] == ["tiny", "tiny-ct"]


def test_a_named_model_answers_no_file_that_another_one_takes(live: Live) -> None:
    response = live.predict_files(
        ("chest.dcm", as_dicom(synthetic_radiograph())),
        ("slice.dcm", as_dicom(np.full((64, 64), 200, np.uint8), Modality="CT")),
        model="tiny",
    )

    chest, sliced = response.json()["results"]
    assert chest["status"] == "ok"
    assert sliced["problem"]["type"] == "/problems/unsuitable-image"


def test_an_answer_names_what_the_file_was(live: Live) -> None:
    uids = {
        f"{level}InstanceUID": f"2.25.{n}" for n, level in enumerate(("SOP", "Series", "Study"))
    }
    frames = np.zeros((2, 60, 40), np.uint8)
    file = as_dicom(frames, NumberOfFrames=2, ViewPosition="AP", PatientName="Doe^Jane", **uids)

    image = live.predict(file, frame=2).json()["results"][0]["image"]

    assert image == {
        "format": "DICOM",
        "frame": 2,
        "frames": 2,
        "rows": 60,
        "columns": 40,
        "modality": "DX",
        "view_position": "AP",
        "sop_instance_uid": "2.25.0",
        "series_instance_uid": "2.25.1",
        "study_instance_uid": "2.25.2",
    }


def test_an_answer_names_no_uid_where_it_should_not(models: Path) -> None:
    with serving_models(models, echo_uids=False) as silent:
        result = silent.predict(as_dicom(synthetic_radiograph())).json()["results"][0]

    assert result["image"]["modality"] == "DX"
    assert not [name for name in result["image"] if name.endswith("uid")]


@pytest.mark.parametrize(
    ("orientation", "words"),
    [
        (["L", "F"], None),
        (["R", "H"], "turned by 180 degrees"),
        (["R", "F"], "mirrored left to right"),
        (["F", "R"], "turned by 90 degrees clockwise"),
    ],
)
def test_what_is_drawn_lies_over_the_image_as_it_was_sent(
    tmp_path: Path, orientation: list[str], words: str | None
) -> None:
    write_bundle(tmp_path)
    write_segmenter_bundle(tmp_path)
    chest = np.zeros((120, 80), np.uint8)
    chest[:40, :30] = 255

    with serving_models(tmp_path) as drawing:
        file = as_dicom(chest, PatientOrientation=orientation)
        result = drawing.answer(file, explain="heatmap")

    heatmap, lungs = pixels_of(result.heatmap), pixels_of(result.lungs)
    assert result.image.turned == words
    assert (result.image.rows, result.image.columns) == (120, 80)
    assert heatmap.shape == lungs.shape == (120, 80)
    # The decision is normal: dark places speak for it, and the segmenter takes them for lung.
    assert heatmap[:20, :15].max() < 64 < 192 < heatmap[80:, 60:].min()
    assert lungs[:30, :20].max() == 0
    assert lungs[60:, 50:].min() == 255


@pytest.mark.parametrize(("query", "version"), [({}, 2), ({"version": 1}, 1)])
def test_a_model_is_taken_by_name_and_version(
    live: Live, radiograph: bytes, query: dict[str, int], version: int
) -> None:
    response = live.predict(radiograph, model="tiny", **query)

    assert response.json()["model"]["version"] == version


def test_a_frame_of_a_multi_frame_image_is_read(live: Live) -> None:
    frames = np.stack([np.full((64, 64), value, np.uint8) for value in (0, 255)])
    image = as_dicom(frames, NumberOfFrames=2)

    decisions = [live.predict(image, frame=n).json()["results"][0]["decision"] for n in (1, 2)]

    assert decisions == ["normal", "pneumonia"]


def test_an_empty_body_part_is_accepted(live: Live) -> None:
    assert live.answer(as_dicom(synthetic_radiograph(), BodyPartExamined=""))


def test_the_callers_identifiers_are_kept_and_returned(live: Live) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    refused = live.client.get(
        "/nowhere", headers={"X-Request-ID": "Root=1-67/a+b:c", "traceparent": trace}
    )

    assert refused.headers["x-request-id"] == "Root=1-67/a+b:c"
    assert refused.headers["traceparent"] == trace
    assert refused.json()["instance"] == "urn:request:Root%3D1-67%2Fa%2Bb%3Ac"


def test_an_identifier_that_could_not_stand_in_a_log_is_replaced(live: Live) -> None:
    response = live.client.get("/health", headers={"X-Request-ID": 'a "b"', "traceparent": "x"})

    assert uuid.UUID(response.headers["x-request-id"]).version == 7
    assert "traceparent" not in response.headers
