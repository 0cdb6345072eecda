"""What a reader thinks of an answer: agree, or the finding that it should have been."""

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Request

from service.auth import Requires
from service.domain import CORRECTION
from service.errors import ProblemType, ServiceError
from service.openapi import problem_responses
from service.runtime import runtime_of
from service.schemas import Agreement, Agreements, Feedback, FeedbackTaken
from service.trail import record

if TYPE_CHECKING:
    from service.audit import AuditTrail

router = APIRouter(tags=["prediction"], dependencies=[Depends(Requires("feedback"))])
AnswerId = Annotated[str, Path(min_length=36, max_length=36, description="The answer's `id`.")]


@router.post(
    "/feedback/{answer_id}",
    summary="Agree with an answer, or correct it",
    responses=problem_responses(401, 403, 404, 409, 422, 429, 503),
)
async def give_feedback(request: Request, answer_id: AnswerId, feedback: Feedback) -> FeedbackTaken:
    """Put down in the audit trail what a reader says of one image of an answer, by code alone.

    Needs an audit trail, which knows what was answered.
    """
    runtime, trail = runtime_of(request), _trail_of(request)
    answered = await asyncio.to_thread(trail.find, answer_id, feedback.image)
    if answered is None or not answered.digest:
        raise ServiceError(
            ProblemType.UNKNOWN_ANSWER, f"No answer {answer_id} has an image {feedback.image}."
        )
    name, _, version = answered.model.rpartition("/")
    agrees = feedback.finding is None or feedback.finding == answered.outcome
    verdict = "agree" if agrees else "correct"
    await trail.write(
        record(
            request,
            "feedback",
            answer_id=answer_id,
            input=answered.input,
            model=answered.model,
            digest=answered.digest,
            outcome=answered.outcome if agrees else f"{CORRECTION}{feedback.finding}",
        )
    )
    runtime.metrics.feedback.labels(name, version, verdict).inc()
    return FeedbackTaken(model=answered.model, decision=answered.outcome, verdict=verdict)


@router.get(
    "/feedback",
    summary="How often readers agree with each model",
    responses=problem_responses(401, 403, 409, 429, 503),
)
async def agreement(request: Request) -> Agreements:
    """Count the feedback in the audit trail; of one caller on one image, the last word."""
    models = []
    for bundle, agreed, corrected in await asyncio.to_thread(_trail_of(request).agreement):
        name, _, version = bundle.rpartition("/")
        models.append(
            Agreement(name=name, version=int(version), agreed=agreed, corrected=corrected)
        )
    return Agreements(models=models)


def _trail_of(request: Request) -> "AuditTrail":
    trail = runtime_of(request).trail
    if trail is None:
        raise ServiceError(
            ProblemType.NO_AUDIT_TRAIL, "Feedback needs an audit trail: see PNEUMO_AUDIT_URL."
        )
    return trail
