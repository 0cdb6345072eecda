"""``GET /problems/{slug}``: what the ``type`` of a problem detail points to."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.exceptions import HTTPException

from service.errors import problem_types
from service.openapi import problem_responses
from service.schemas import ProblemDescription

router = APIRouter(tags=["operation"])


@router.get(
    "/problems/{slug}", summary="One kind of problem", responses=problem_responses(404, 422)
)
async def get_problem(
    request: Request,
    slug: Annotated[str, Path(min_length=1, max_length=64, description="Its short name.")],
) -> ProblemDescription:
    """Describe one kind of problem."""
    kind = problem_types().get(slug)
    if kind is None:
        raise HTTPException(404)
    return ProblemDescription(type=request.url.path, title=kind.title, status=kind.status)
