"""What goes into the audit trail: a record of each image that was answered, and of each change."""

import time

from starlette.requests import Request

from service.domain import Action, AuditRecord, ImageFailure, ImageResult, Prediction
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
    """A record for each image of an answer."""
    shared: dict[str, str | float] = {
        "answer_id": answer_id,
        "latency_ms": round(prediction.total_s * 1000, 3),
    }
    return [
        record(request, "predict", input=result.sha256, **shared, **_outcome(prediction, result))
        for result in prediction.results
    ]


def _outcome(prediction: Prediction, result: ImageResult | ImageFailure) -> dict[str, str]:
    """Which model was asked, and what came of it; a digest only of one that answered."""
    if isinstance(result, ImageFailure):
        return {"model": prediction.model.bundle, "outcome": problem_type(result.error).slug}
    return {
        "model": result.model.bundle,
        "digest": result.model.digest,
        "outcome": result.decision.label or "refer",
    }
