"""What goes into the audit trail: a record of each image that was answered, and of each change."""

import hashlib
import time

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from service.domain import Action, AuditRecord, Encoded, ImageFailure, Prediction, ServedModel
from service.errors import problem_type
from service.problems import request_id_of


def record(request: Request, action: Action, **facts: str | float) -> AuditRecord:
    """A record of what a request asked for, with who asked."""
    return AuditRecord(
        action,
        caller=request.scope["state"].get("key") or "",
        peer=request.client.host if request.client else "",
        request_id=request_id_of(request.scope),
        at=time.time(),
        **facts,  # type: ignore[arg-type]
    )


def predictions(request: Request, prediction: Prediction, answer_id: str) -> list[AuditRecord]:
    """A record for each image of an answer; the digest of a model only where it answered."""
    latency_ms = round(prediction.total_s * 1000, 3)
    records = []
    for result in prediction.results:
        if isinstance(result, ImageFailure):
            model, digest = prediction.model, ""
            outcome = problem_type(result.error).slug
        else:
            model, digest = result.model, result.model.digest
            outcome = result.decision.label or "refer"
        what = {"model": model.bundle, "digest": digest, "outcome": outcome, "input": result.sha256}
        records.append(
            record(request, "predict", answer_id=answer_id, latency_ms=latency_ms, **what)
        )
    return records


def outputs_of(
    request: Request, model: ServedModel, images: NDArray[np.uint8] | Encoded, spent_ms: float
) -> list[AuditRecord]:
    """A record for each file, or each image of a tensor, whose outputs were answered."""
    what = {"model": model.bundle, "digest": model.digest, "outcome": "outputs"}
    return [
        record(request, "predict", latency_ms=spent_ms, input=digest, **what)
        for digest in (hashlib.sha256(memoryview(image)).hexdigest() for image in images)
    ]
