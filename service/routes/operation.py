"""``GET /metrics`` for Prometheus, and ``GET /problems/{slug}``, to which problem details point."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from service.auth import Requires
from service.errors import ProblemType
from service.openapi import problem_responses
from service.runtime import runtime_of
from service.schemas import ProblemDescription

router = APIRouter(tags=["operation"])


@router.get(
    "/metrics",
    summary="Metrics in Prometheus's text format",
    response_class=PlainTextResponse,
    responses=problem_responses(401, 403),
    dependencies=[Depends(Requires("read"))],
)
async def metrics(request: Request) -> Response:
    """Write all metrics."""
    runtime = runtime_of(request)
    runtime.sample()
    return Response(runtime.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/problems/{slug}", summary="One kind of problem", responses=problem_responses(404, 422)
)
async def get_problem(
    request: Request,
    slug: Annotated[str, Path(min_length=1, max_length=64, description="Its short name.")],
) -> ProblemDescription:
    """Describe one kind of problem."""
    kind = next((each for each in ProblemType if each.slug == slug), None)
    if kind is None:
        raise HTTPException(404)
    return ProblemDescription(type=request.url.path, title=kind.title, status=kind.status)
