"""Wires the service together; decides nothing."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import attrgetter

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from uvicorn.config import STARTUP_FAILURE

from contract.manifest import INTENDED_USE
from service import __version__, predict_endpoint, problems
from service.decode_worker import die_with_parent
from service.errors import ServiceError
from service.limits import BodyLimit
from service.logs import Logger, log_start_failure, make_logger, silence_quoting_libraries
from service.middleware import RequestContext
from service.negotiation import Negotiation
from service.openapi import add_docs
from service.routes import admin, feedback, health, models, page, v2
from service.runtime import OpenModels, Runtime, open_repository
from service.settings import Settings, read_settings


def create_api() -> FastAPI:
    """Make the routes, without anything behind them: enough to write the OpenAPI document."""
    api = FastAPI(
        title="Pneumoscope",
        version=__version__,
        summary="Reads chest images.",
        description=f"{INTENDED_USE} The routes below /v2 are not listed here: the Open Inference "
        "Protocol, which they follow, has a document of its own.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=_lifespan,
        generate_unique_id_function=attrgetter("name"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # This service counts and traces its requests itself; FastAPI would look for somebody else
        # who does at every one of them.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for module in (predict_endpoint, feedback, v2, health, models, admin):
        api.include_router(module.router)
    for router in (models.documents, health.operation, page.router):
        api.include_router(router)
    problems.install(api)
    add_docs(api)
    return api


def create_app(
    settings: Settings, open_models: OpenModels = open_repository, log: Logger | None = None
) -> FastAPI:
    """Make the service; its models load when it starts. Raises what ``Runtime`` does."""
    app = create_api()
    runtime = Runtime(settings, log or make_logger(settings.log_level), open_models)
    app.state.runtime = runtime
    # The last that is added is the first that a request meets.
    app.add_middleware(predict_endpoint.PredictFirst)
    app.add_middleware(Negotiation, settings=settings)
    app.add_middleware(
        BodyLimit,
        max_body_bytes=settings.max_body_bytes,
        budget=runtime.receive_budget,
        timeout_s=settings.receive_timeout_s,
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("*",),
            expose_headers=("Retry-After", "X-Request-ID"),
        )
    app.add_middleware(
        RequestContext, metrics=runtime.metrics, tracing=runtime.tracing, log=runtime.log
    )
    return app


def worker_app() -> FastAPI:
    """Make the service of one of several processes, with the settings of the environment."""
    die_with_parent(signal.SIGTERM)
    silence_quoting_libraries()
    try:
        settings = read_settings()
        return create_app(settings, log=make_logger(settings.log_level).bind(pid=os.getpid()))
    except ServiceError as error:
        log_start_failure(make_logger("info").bind(pid=os.getpid()), error)
        # At this exit code uvicorn stops all workers, and starts this one no more.
        sys.exit(STARTUP_FAILURE)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the models while the probes are already answered; stop when the last answer is sent."""
    runtime: Runtime = app.state.runtime
    loading = asyncio.create_task(runtime.load())
    if runtime.settings.workers > 1:
        # The other workers answer the probes; this one takes no connection too early.
        await loading
        if runtime.failure is not None:
            log_start_failure(runtime.log, runtime.failure)
            # uvicorn then stops all workers; it would write the traceback of what is raised here.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
            raise runtime.failure
    elif threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, runtime.reload_on_signal)
    yield
    runtime.begin_stopping()
    await loading
    await runtime.close()
