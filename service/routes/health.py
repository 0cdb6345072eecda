"""How the service is: for people, for dashboards, for orchestrators; and its kinds of problems.

No probe waits in a queue: it is answered however much work there is. On a GPU, live and ready wait
for one run of a model, ahead of everything else; on a CPU nothing here waits for a thread.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from service import __version__
from service.answers import model_reference
from service.auth import Requires
from service.errors import ProblemType
from service.openapi import problem_responses
from service.runtime import runtime_of
from service.schemas import Health, Liveness, ProblemDescription, Readiness

router = APIRouter(prefix="/health", tags=["health"])
operation = APIRouter(tags=["operation"])


@router.get(
    "",
    summary="Status, models and execution provider",
    response_model_exclude_unset=True,
    responses={503: {"model": Health, "description": "Not ready"}, **problem_responses()},
)
async def health(request: Request, response: Response) -> Health:
    """Say how the service is; 503 where it does not take images."""
    runtime = runtime_of(request)
    runtime.device.look_again()
    status, repository = runtime.status, runtime.repository
    response.status_code = 200 if status == "ready" else 503
    if status == "stopping":
        response.headers["Connection"] = "close"
    default = repository.get() if repository else None
    return Health(
        status=status,
        version=__version__,
        uptime_s=round(runtime.uptime_s, 3),
        execution_provider=default.session.provider if default else None,
        precision=default.precision if default else None,
        in_flight=runtime.admission.in_flight,
        queue_limit=runtime.settings.queue_limit,
        models=[model_reference(model) for model in repository.all()] if repository else [],
        feedback=runtime.trail is not None,
        gateway=runtime.settings.page_gateway,
    )


@router.get("/live", summary="Does the process work?", responses=problem_responses(503))
async def live(request: Request) -> Liveness:
    """Say that the event loop turns and, on a GPU, that a model still runs there."""
    await runtime_of(request).device.check()
    return Liveness(status="live")


@router.get("/ready", summary="Does it take images?", responses=problem_responses(503))
async def ready(request: Request) -> Readiness:
    """Say that every model is loaded and warm and, on a GPU, that one still runs there."""
    await runtime_of(request).check_ready()
    return Readiness(status="ready")


@operation.get(
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


@operation.get(
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
