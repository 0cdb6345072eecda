"""Changes which models are served. Each route answers when the change is done, or refused."""

from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request

from service.auth import Requires
from service.domain import MODEL_LENGTH, OUTCOME_LENGTH, Action
from service.errors import ProblemType, ServiceError, problem_type
from service.openapi import Name, Version, problem_responses
from service.runtime import runtime_of
from service.schemas import ModelChanges
from service.trail import record


async def _done(
    request: Request,
    action: Action,
    change: Callable[[], Awaitable[ModelChanges]],
    bundle: str = "",
) -> ModelChanges:
    """Put a change down in the audit trail, as it is asked for and as it is done."""
    trail = runtime_of(request).trail
    if trail is None:
        return await change()
    # As a path has it, for a database takes no NUL, and a caller might send one.
    model = quote(bundle)[:MODEL_LENGTH]
    await trail.write(record(request, action, model=model, outcome="asked"))
    try:
        changes = await change()
    except Exception as error:
        await trail.write(record(request, action, model=model, outcome=problem_type(error).slug))
        raise
    said = [f"+{name}" for name in changes.loaded] + [f"-{name}" for name in changes.unloaded]
    said += [f"!{each.bundle}" for each in changes.refused]
    outcome = " ".join(said)[:OUTCOME_LENGTH]
    await trail.write(record(request, action, model=model, outcome=outcome))
    return changes


async def _one_worker(request: Request) -> None:
    """Refuse what would change one of several workers, whichever took the connection."""
    if runtime_of(request).settings.workers > 1:
        raise ServiceError(
            ProblemType.RELOAD_REFUSED,
            "This port leads to any one of several workers. Send SIGHUP to the service, which "
            "starts each again, one after the other.",
        )


router = APIRouter(
    prefix="/models",
    tags=["admin"],
    dependencies=[Depends(Requires("admin")), Depends(_one_worker)],
)
_BUNDLE = "/{name}/versions/{version}"
_PROBLEMS = problem_responses(401, 403, 404, 409, 422, 503)


@router.post(
    "/reload",
    summary="Follow the models folder",
    responses=problem_responses(401, 403, 409, 503),
)
async def reload_models(request: Request) -> ModelChanges:
    """Load the bundles that are new or changed, unload those that are gone, leave the others.

    A bundle that fails a check is named with its reason and changes nothing. What was unloaded by
    name stays so.
    """
    return await _done(request, "reload", partial(runtime_of(request).reloader().reload, "request"))


@router.post(f"{_BUNDLE}/load", summary="Serve one version of a model", responses=_PROBLEMS)
async def load_version(request: Request, name: Name, version: Version) -> ModelChanges:
    """Load one bundle of the models folder, also one that was unloaded by name."""
    bundle = f"{name}/{version}"
    load = partial(runtime_of(request).reloader().load, bundle)
    return await _done(request, "load", load, bundle)


@router.post(
    f"{_BUNDLE}/unload", summary="Stop to serve one version of a model", responses=_PROBLEMS
)
async def unload_version(request: Request, name: Name, version: Version) -> ModelChanges:
    """Unload one bundle that stays in the models folder, until it is loaded by name or a restart.

    The version before it serves then, which undoes an update at once. The last version of the
    default model cannot be unloaded.
    """
    bundle = f"{name}/{version}"
    unload = partial(runtime_of(request).reloader().unload, bundle)
    return await _done(request, "unload", unload, bundle)
