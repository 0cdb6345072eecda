"""What goes into the audit trail: a record of each image that was answered, and of each change."""

import time

from starlette.requests import Request

from service.domain import Action, AuditRecord, ImageResult, Prediction
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
    latency_ms = round(prediction.total_s * 1000, 3)
    records = []
    for result in prediction.results:
        is_answered = isinstance(result, ImageResult)
        model = result.model if isinstance(result, ImageResult) else prediction.model
        outcome = (
            result.decision.label or "refer"
            if isinstance(result, ImageResult)
            else problem_type(result.error).slug
        )
        records.append(
            record(
                request,
                "predict",
                answer_id=answer_id,
                input=result.sha256,
                model=model.bundle,
                digest=model.digest if is_answered else "",
                outcome=outcome,
                latency_ms=latency_ms,
            )
        )
    return records
