"""``GET /metrics`` for Prometheus."""

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import PlainTextResponse

from service.auth import Requires
from service.metrics import METRICS_MEDIA_TYPE
from service.openapi import problem_responses
from service.runtime import runtime_of

router = APIRouter(tags=["operation"], dependencies=[Depends(Requires("read"))])


@router.get(
    "/metrics",
    summary="Metrics in Prometheus's text format",
    response_class=PlainTextResponse,
    responses=problem_responses(401, 403),
)
async def metrics(request: Request) -> Response:
    """Write all metrics."""
    runtime = runtime_of(request)
    runtime.sample()
    return Response(runtime.metrics.exposition(), media_type=METRICS_MEDIA_TYPE)
