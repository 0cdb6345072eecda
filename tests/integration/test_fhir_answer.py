"""The answer to /predict as a FHIR R4 transaction Bundle."""

import json
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from service.answers import as_bundle
from tests.gateway.drawn import film
from tests.integration.live import JPEG, Live, problem

FHIR = "application/fhir+json"


def bundle_of(live: Live, image: bytes) -> dict[str, Any]:
    answer = live.client.post("/predict", content=image, headers={"Accept": FHIR})
    assert (answer.status_code, answer.headers["content-type"]) == (200, FHIR)
    return dict(answer.json())


def conditions(bundle: dict[str, Any]) -> list[str]:
    return [entry["request"]["ifNoneExist"] for entry in bundle["entry"]]


def test_one_image_is_answered_as_a_bundle_that_says_what_the_answer_in_json_says(
    live: Live,
) -> None:
    image = film(1)
    [result] = live.predict(image).json()["results"]

    bundle = bundle_of(live, image)

    Bundle.model_validate(bundle)
    observations = [
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "Observation"
    ]
    said = {
        each["code"]["text"]: each["component"][0]["valueQuantity"]["value"]
        for each in observations
    }
    assert said == pytest.approx(
        {finding["label"]: finding["probability"] for finding in result["findings"]}, abs=1e-6
    )
    study = result["image"]["study_instance_uid"]
    assert observations[0]["derivedFrom"][0]["identifier"]["value"] == f"urn:oid:{study}"


def test_a_bundle_of_the_same_image_creates_nothing_anew(live: Live, radiograph: bytes) -> None:
    first, again = bundle_of(live, radiograph), bundle_of(live, radiograph)

    assert conditions(first) == conditions(again)
    # Of another image only the device is the same.
    other = bundle_of(live, film(2))
    assert len({*conditions(first)} & {*conditions(other)}) == 1


def test_a_bundle_of_another_version_is_another_whose_operating_points_may_differ(
    live: Live, radiograph: bytes
) -> None:
    answer = live.predict(radiograph).json()
    older = json.loads(as_bundle(json.dumps(answer).encode()))
    answer["results"][0]["model"]["version"] += 1

    newer = json.loads(as_bundle(json.dumps(answer).encode()))

    assert {*conditions(older)}.isdisjoint(conditions(newer))


@pytest.mark.parametrize(
    "lines",
    [
        *([f"application/json, {FHIR}"], ["*/*"], ["application/*"]),
        *(["text/html, application/json;q=0.1"], ["text/plain", "application/json"]),
        [f"{FHIR};q=0, */*"],
    ],
)
def test_json_is_what_a_client_gets_that_takes_it(
    live: Live, radiograph: bytes, lines: list[str]
) -> None:
    headers = [("Accept", line) for line in lines]

    answer = live.client.post("/predict", content=radiograph, headers=headers)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


def test_several_images_are_no_bundle(live: Live, radiograph: bytes) -> None:
    files = [("file", radiograph), ("file", radiograph)]

    before = images_read(live)
    refused = live.client.post("/predict", files=files, headers={"Accept": FHIR})

    assert problem(refused) == (413, "too-many-files")
    assert images_read(live) == before


def images_read(live: Live) -> list[str]:
    lines = live.client.get("/metrics").text.splitlines()
    return [line for line in lines if line.startswith("pneumoscope_image")]


def test_what_cannot_be_read_is_a_problem_in_its_own_form(live: Live) -> None:
    refused = live.client.post("/predict", content=b"no image", headers={**JPEG, "Accept": FHIR})

    assert problem(refused) == (422, "not-an-image")
