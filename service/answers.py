"""Writes the answer to /predict as JSON."""

import orjson

from contract.decision import OodResult
from contract.findings import Code
from contract.quality import Quality
from contract.radiograph import Radiograph
from service.heatmap import MEDIA_TYPE, Heatmap, size_as_sent
from service.identifiers import uuid7
from service.lungs import LungPicture
from service.prediction import ImageFailure, ImageResult, Prediction
from service.problems import describe
from service.session import ServedModel


def write_answer(prediction: Prediction, request_id: str, *, uids: bool = True) -> bytes:
    """Write a prediction as ``schemas.PredictionBody`` describes it.

    Args:
        prediction: The results of one request.
        request_id: For the problems of files that could not be read.
        uids: Whether to name the UIDs of DICOM files.
    """
    times = prediction.times
    body = {
        "id": str(uuid7()),
        "model": model_reference(prediction.model),
        "execution_provider": prediction.model.session.provider,
        "precision": prediction.model.precision,
        "results": [
            _result(result, uids=uids)
            if isinstance(result, ImageResult)
            else _failure(result, request_id)
            for result in prediction.results
        ],
        "timing_ms": {
            "decode": _ms(times.decode_s),
            "queue": _ms(times.queue_s),
            "inference": _ms(times.inference_s),
            "total": _ms(prediction.total_s),
        },
    }
    # NumPy's own float32 is written with the digits that it has, not with those of a double.
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def model_reference(model: ServedModel) -> dict[str, object]:
    """Write which model it is, as ``schemas.ModelReference`` describes it."""
    manifest = model.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "digest": model.digest,
        "intended_use": manifest.intended_use,
    }


def _result(result: ImageResult, *, uids: bool) -> dict[str, object]:
    decision = result.decision
    findings = zip(
        result.model.manifest.findings, result.probabilities, decision.present, strict=True
    )
    body: dict[str, object] = {
        "file": result.name,
        "sha256": result.sha256,
        "status": "ok",
        "model": model_reference(result.model),
        "image": _image(result.image, uids=uids),
        "decision": decision.label or "refer",
        "reasons": decision.reasons,
        "findings": [
            {
                "label": finding.label,
                "code": _coding(finding.code),
                "probability": probability,
                "operating_point": finding.operating_point,
                "present": present,
            }
            for finding, probability, present in findings
        ],
    }
    if result.quality is not None:
        body["quality"] = _quality(result.quality)
    if result.out_of_distribution is not None:
        body["out_of_distribution"] = _ood_result(result.out_of_distribution)
    if result.heatmap is not None:
        body["heatmap"] = _heatmap(result.heatmap)
    if result.lungs is not None:
        body["lungs"] = _lungs(result.lungs)
    return body


def _image(image: Radiograph, *, uids: bool) -> dict[str, object]:
    rows, columns = size_as_sent(image)
    body: dict[str, object] = {
        "format": image.format,
        "frame": image.frame,
        "frames": image.frames,
        "rows": rows,
        "columns": columns,
        "turned": image.turned.words or None,
    }
    facts = image.dicom
    if facts is not None:
        body["modality"] = facts.modality
        body["view_position"] = facts.view_position
        if uids:
            body["sop_instance_uid"] = facts.sop_instance_uid
            body["series_instance_uid"] = facts.series_instance_uid
            body["study_instance_uid"] = facts.study_instance_uid
    return {name: value for name, value in body.items() if value is not None}


def _failure(failure: ImageFailure, request_id: str) -> dict[str, object]:
    return {
        "file": failure.name,
        "sha256": failure.sha256,
        "status": "error",
        "problem": describe(failure.error, request_id),
    }


def _quality(quality: Quality) -> dict[str, object]:
    return {
        "accepted": quality.accepted,
        "checks": [
            {
                "name": check.name,
                "value": check.value,
                "lower": check.lower,
                "upper": check.upper,
                "passed": check.passed,
                "advice": check.advice,
            }
            for check in quality.checks
        ],
    }


def _ood_result(out_of_distribution: OodResult) -> dict[str, object]:
    return {
        "score": out_of_distribution.score,
        "limit": out_of_distribution.limit,
        "accepted": out_of_distribution.accepted,
    }


def _heatmap(heatmap: Heatmap) -> dict[str, object]:
    body: dict[str, object] = {
        "label": heatmap.label,
        "media_type": MEDIA_TYPE,
        "data": heatmap.data,
        "width": heatmap.width,
        "height": heatmap.height,
    }
    if heatmap.inside_lungs is not None:
        body["inside_lungs"] = heatmap.inside_lungs
    return body


def _lungs(lungs: LungPicture) -> dict[str, object]:
    return {
        "media_type": MEDIA_TYPE,
        "data": lungs.data,
        "width": lungs.width,
        "height": lungs.height,
    }


def _coding(code: Code) -> dict[str, str]:
    return {"system": code.system, "code": code.code}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
