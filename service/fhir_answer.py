"""The answer to /predict as a FHIR R4 transaction Bundle, for one image."""

from datetime import UTC, datetime

import orjson

from contract.fhir import MEDIA_TYPE, Origin, report_bundle
from service.headers import JSON

DOCUMENTED = {
    "description": (
        f"What the model says of each image; of one image, as a FHIR R4 transaction Bundle, where "
        f"Accept names {MEDIA_TYPE} and not {JSON}."
    ),
    "content": {MEDIA_TYPE: {"schema": {"type": "object"}}},
}


def wants_fhir(accept: str) -> bool:
    """Whether an Accept header names FHIR, and JSON not."""
    named = accept.lower()
    return MEDIA_TYPE in named and JSON not in named


def as_bundle(answer: bytes) -> bytes:
    """Write the answer for one image as a Bundle.

    The same bytes, frame and model give the same identifiers: what is posted again to a FHIR server
    is created once.
    """
    [first] = orjson.loads(answer)["results"]
    image, model = first["image"], first["model"]
    key = f"{first['sha256']}/{image['frame']}/{model['digest']}"
    origin = Origin(study_uid=image.get("study_instance_uid"))
    return orjson.dumps(report_bundle(key, model, first, datetime.now(UTC), origin))
