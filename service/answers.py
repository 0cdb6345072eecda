"""Writes the answer to /predict, as JSON or as a FHIR R4 transaction Bundle."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from contract.fhir import Origin, report_bundle
from contract.radiograph import Radiograph
from contract.series import combine
from service.domain import STAGES, ImageResult, Picture, Prediction, ServedModel
from service.overlays import MEDIA_TYPE, size_as_sent
from service.problems import describe

Body = dict[str, Any]
_UIDS = ("sop_instance_uid", "series_instance_uid", "study_instance_uid")


def write_answer(
    prediction: Prediction, answer_id: str, request_id: str, *, uids: bool = True
) -> bytes:
    """Write a prediction as JSON, as ``schemas.PredictionBody`` describes it.

    What is not known is absent, and not null. It is not validated: that took as long as the rest.
    """
    timing = {"total": prediction.total_s}
    for stage in STAGES:
        timing[stage] = sum(result.times[stage] for result in prediction.results)
    results = [
        _answer(result, uids=uids)
        if isinstance(result, ImageResult)
        else {
            "file": result.name,
            "sha256": result.sha256,
            "status": "error",
            "problem": describe(result.error, request_id),
        }
        for result in prediction.results
    ]
    body = {
        "id": answer_id,
        "model": model_reference(prediction.model),
        "execution_provider": prediction.model.session.provider,
        "precision": prediction.model.precision,
        "results": results,
        "series": [*_series(prediction, results, uids=uids)] or None,
        "timing_ms": {stage: round(took_s * 1000, 3) for stage, took_s in timing.items()},
    }
    return orjson.dumps(_known(body))


def as_bundle(answer: bytes) -> bytes:
    """Write the answer for one image as a Bundle.

    The same bytes, frame and version of a model give the same identifiers: what is posted again to
    a FHIR server is created once.
    """
    [first] = orjson.loads(answer)["results"]
    image, model = first["image"], first["model"]
    key = f"{first['sha256']}/{image['frame']}/{model['version']}/{model['digest']}"
    origin = Origin(study_uid=image.get("study_instance_uid"))
    return orjson.dumps(report_bundle(key, model, first, datetime.now(UTC), origin))


def model_reference(model: ServedModel) -> Body:
    """Name a model, as ``schemas.ModelReference`` describes it."""
    manifest = model.manifest
    body = {
        "name": manifest.name,
        "version": manifest.version,
        "digest": model.digest,
        "intended_use": manifest.intended_use,
        "site": manifest.site and manifest.site.name,
    }
    return _known(body)


def _answer(result: ImageResult, *, uids: bool) -> Body:
    decision, quality, familiar = result.decision, result.quality, result.out_of_distribution
    findings = zip(
        result.model.manifest.findings, result.probabilities, decision.present, strict=True
    )
    body = {
        "sha256": result.sha256,
        "status": "ok",
        "model": model_reference(result.model),
        "image": _image(result.image, uids=uids),
        "decision": decision.label or "refer",
        "reasons": decision.reasons,
        "findings": [
            {
                "label": finding.label,
                "code": {"system": finding.code.system, "code": finding.code.code},
                # With the digits that a float32 has, not with those of a double.
                "probability": float(str(probability)),
                "operating_point": finding.operating_point,
                "present": present,
            }
            for finding, probability, present in findings
        ],
        "quality": quality
        and {
            "accepted": quality.accepted,
            "checks": [{**check._asdict(), "passed": check.passed} for check in quality.checks],
        },
        "out_of_distribution": familiar
        and {"score": familiar.score, "limit": familiar.limit, "accepted": familiar.accepted},
        "evidence": _evidence(result),
        "heatmap": _picture(result.heatmap),
        "lungs": _picture(result.lungs),
    }
    return {"file": result.name} | _known(body)


def _series(prediction: Prediction, answers: Sequence[Body], *, uids: bool) -> Iterator[Body]:
    """Answer for each CT series that has several slices; a file that came again is no other one."""
    series: dict[str, dict[str, tuple[int, ServedModel]]] = {}
    for number, result in enumerate(prediction.results):
        if not isinstance(result, ImageResult) or result.image.dicom is None:
            continue
        uid = result.image.dicom.series_instance_uid
        if uid and result.image.dicom.modality == "CT":
            # A request has one model for a modality.
            series.setdefault(uid, {}).setdefault(result.sha256, (number, result.model))
    for uid, slices in series.items():
        if len(slices) < 2:
            continue
        numbers, (model, *_) = zip(*slices.values(), strict=True)
        said = [answers[number] for number in numbers]
        combined = combine(said, model.manifest.model_dump(include={"series_rule", "metrics"}))
        body = combined | {
            "series_instance_uid": uid if uids else None,
            "slices": numbers,
            "left_out": [numbers[index] for index in combined["left_out"]],
            "model": model_reference(model),
        }
        yield _known(body)


def _evidence(result: ImageResult) -> Body | None:
    evidence = result.evidence
    if evidence is None:
        return None
    label = result.model.manifest.labels[int(result.probabilities.argmax())]
    called, right = evidence.calls.get(label, (0, 0))
    return {
        "source": evidence.source,
        "distance": evidence.distance,
        "findings": evidence.findings,
        "called": called,
        "right": right,
        "sentence": evidence.sentence(label),
    }


def _image(image: Radiograph, *, uids: bool) -> Body:
    rows, columns = size_as_sent(image)
    body: Body = {
        "format": image.format,
        "frame": image.frame,
        "frames": image.frames,
        "rows": rows,
        "columns": columns,
        "turned": image.turned.words or None,
    }
    names = ("modality", "view_position", *(_UIDS if uids else ()))
    if image.dicom is not None:
        body |= {name: getattr(image.dicom, name) for name in names}
    return _known(body)


def _picture(picture: Picture | None) -> Body | None:
    return {"media_type": MEDIA_TYPE, **_known(asdict(picture))} if picture else None


def _known(body: Body) -> Body:
    return {name: value for name, value in body.items() if value is not None}
