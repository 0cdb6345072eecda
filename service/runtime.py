"""What a running service holds, and where it stands between start and stop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from starlette.requests import Request

from contract.errors import ContractError
from service.auth import Callers
from service.batcher import MicroBatcher
from service.decoders import Decoders
from service.device import DeviceWatch
from service.domain import CPU, ServedModel
from service.errors import DeviceLost, ProblemType, ServiceError, StartError
from service.limits import Admission, ReceiveBudget, cancelled_on_disconnect
from service.loading import ModelLoader, Reloader, warn_of_precision
from service.logs import Logger, log_failure
from service.machine import decode_memory
from service.metrics import Metrics
from service.predictor import Predictor
from service.priorities import PriorityThreads
from service.problems import request_id_of
from service.repository import ModelRepository
from service.schemas import PredictQuery
from service.session import SessionOptions, has_cuda, why_no_cuda
from service.settings import Settings, retired_settings
from service.tracing import open_tracing

if TYPE_CHECKING:
    from service.audit import AuditTrail as Trail

Status = Literal["loading", "ready", "device-lost", "stopping", "failed"]
OpenModels = Callable[[Settings], ModelRepository]
SAMPLING_S = 1.0
_LOADING = "The models are still loading, or did not load."


class Runtime:
    """The state of one service process; ``open_models`` loads and warms the models.

    Raises:
        StartError: The keys or the audit trail cannot be used.
    """

    def __init__(self, settings: Settings, log: Logger, open_models: OpenModels) -> None:
        self.settings = settings
        self.log = log
        self._open_models = open_models
        self.metrics = Metrics()
        self.tracing = open_tracing(settings.otlp_endpoint)
        self.admission = Admission(settings.queue_limit)
        self.receive_budget = ReceiveBudget(settings.receive_budget_bytes)
        self.metrics.queue_limit.set(settings.queue_limit)
        self.callers = Callers(settings, log) if settings.knows_callers else None
        self.trail: Trail | None = None
        if settings.audit_url is not None:
            # The database's library takes memory that most do not need.
            from service.audit import AuditTrail

            must_write = settings.audit_failure == "stop"
            url = settings.audit_url.get_secret_value()
            self.trail = AuditTrail(
                url, log, must_write=must_write, in_flight=lambda: self.admission.in_flight
            )
        self.failure: ContractError | ServiceError | None = None
        self._started = time.monotonic()
        self._predictor: Predictor | None = None
        self._reloader: Reloader | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self.device = DeviceWatch(self._run_on_accelerator, log)
        self._stopping = False

    @property
    def status(self) -> Status:
        """Where the service stands."""
        if self.failure is not None:
            return "failed"
        if self._stopping:
            return "stopping"
        if self._predictor is None or not self._predictor.can_decode:
            return "loading"
        return "device-lost" if self.device.lost else "ready"

    @property
    def uptime_s(self) -> float:
        """Seconds since the process began to load."""
        return time.monotonic() - self._started

    @property
    def repository(self) -> ModelRepository | None:
        """The models; None until they are loaded."""
        return self._predictor.repository if self._predictor else None

    @property
    def default_model(self) -> ServedModel | None:
        """The model for an image that names none; None until it is loaded."""
        return self.repository.get() if self.repository else None

    def predictor(self) -> Predictor:
        """The predictor, for new work.

        Raises:
            ServiceError: The models are not loaded, or the service stops.
        """
        if self._stopping:
            raise ServiceError(ProblemType.SHUTTING_DOWN, "The service is stopping.")
        if self._predictor is None:
            raise ServiceError(ProblemType.NOT_READY, _LOADING)
        return self._predictor

    def reloader(self) -> Reloader:
        """What changes the served models; raises what ``predictor`` does."""
        self.predictor()
        if self._reloader is None:
            raise ServiceError(ProblemType.NOT_READY, _LOADING)
        return self._reloader

    async def check_ready(self) -> None:
        """See that new images can be taken, of every kind.

        Raises:
            ServiceError: The models are not loaded, no decoder starts, or the service stops.
            DeviceLost: The accelerator fails, or does not answer.
        """
        if not self.predictor().can_decode:
            raise ServiceError(
                ProblemType.NOT_READY, "The processes that decode images are starting again."
            )
        await self.device.check()

    @asynccontextmanager
    async def admitted(self, request: Request, images: int) -> AsyncIterator[None]:
        """Hold room for images, within the deadline, while somebody waits for the answer.

        The request's body must have been read.

        Raises:
            ServiceError: There is no room for them, the block took too long, or the client left.
        """
        deadline_s = self.settings.request_deadline_s
        with self.admission.admit(images):
            try:
                async with cancelled_on_disconnect(request.receive), asyncio.timeout(deadline_s):
                    yield
            except DeviceLost as error:
                log_failure(self.log, error, request_id_of(request.scope))
                self.device.report_lost()
                raise
            except TimeoutError as error:
                raise ServiceError(
                    ProblemType.DEADLINE_EXCEEDED,
                    f"The request was not served within {deadline_s:g} s.",
                    self.admission.retry_after_s(),
                ) from error

    async def load(self) -> None:
        """Load and warm all models; what goes wrong is kept in ``failure``."""
        for name, advice in retired_settings().items():
            self.log.warning("setting retired", name=name, advice=advice)
        try:
            repository = await asyncio.to_thread(self._open_models, self.settings)
        except (ContractError, ServiceError) as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the service cannot start
            self.failure = StartError(f"{type(error).__name__}: {error}")
        else:
            await self._warn_of_cpu(repository)
            warn_of_precision(self.log, repository.all(), self.settings.precision)
            self._serve(repository)

    def sample(self) -> None:
        """Bring the gauges of what is in the service now up to date."""
        self.metrics.in_flight.set(self.admission.in_flight)
        self.metrics.queue_depth.set(self._predictor.depth if self._predictor else 0)

    def reload_on_signal(self) -> None:
        """Bring keys and models in line with their files, without waiting for the models."""
        if self.callers is not None:
            self.callers.read()
        try:
            self._keep(self.reloader().follow("signal"))
        except ServiceError as error:
            self.log.warning("no reload", reason=str(error))

    def begin_stopping(self) -> None:
        """Take no new work; what was accepted goes on."""
        self._stopping = True

    async def close(self) -> None:
        """Finish the work that is left, and stop the threads and decoders."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.device.close()
        if self._predictor is not None:
            await self._predictor.close()
        if self.trail is not None:
            await asyncio.to_thread(self.trail.close)
        await asyncio.to_thread(self.tracing.close)

    def _serve(self, repository: ModelRepository) -> None:
        settings = self.settings
        budget = settings.decode_memory_bytes
        decoders = Decoders(
            settings.decoders, decode_memory() if budget is None else budget, settings.max_pixels
        )
        self._predictor = Predictor(
            repository,
            PriorityThreads(settings.threads),
            decoders,
            MicroBatcher(self.metrics.batch),
            settings.max_pixels,
        )
        self._reloader = Reloader(model_loader(settings), self._predictor, self.metrics, self.log)
        if settings.workers > 1:
            self._keep(self._sample_for_others())
        if settings.models_poll_s:
            self._keep(self._reloader.poll(settings.models_poll_s))
        models, default = repository.all(), repository.get()
        self.metrics.models(models)
        self.log.info(
            "ready",
            execution_provider=default.session.provider,
            precision=default.precision,
            models=[model.bundle for model in models],
            without_golden=[each.bundle for each in models if not each.manifest.golden_digest],
            seconds=round(self.uptime_s, 3),
        )

    def _keep(self, work: Coroutine[object, object, object]) -> None:
        """Have work done beside the requests; a task that nobody holds could be collected."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sample_for_others(self) -> None:
        """Sample for ever: the worker that exposes the metrics cannot ask this one."""
        while True:
            self.sample()
            await asyncio.sleep(SAMPLING_S)

    async def _run_on_accelerator(self) -> None:
        """Run a model that is on the accelerator now; nothing where none is."""
        predictor = self._predictor
        for model in predictor.repository.all() if predictor else ():
            if predictor and model.batched:
                blank = np.zeros((1, *model.manifest.preprocessing.size, 1), np.uint8)
                await predictor.infer(model, blank, PredictQuery(priority="stat"))
                return

    async def _warn_of_cpu(self, repository: ModelRepository) -> None:
        """Say why models run on the CPU that could have run on CUDA."""
        on_cpu = [model.bundle for model in repository.all() if model.session.provider == CPU]
        if self.settings.provider != "auto" or not on_cpu or not has_cuda():
            return
        reason = "other models run on it"
        if len(on_cpu) == len(repository.all()):
            reason = await asyncio.to_thread(why_no_cuda)
        self.log.warning("cuda not used", reason=reason, models=on_cpu)


def open_repository(settings: Settings) -> ModelRepository:
    """Load every model of the models folder, as the settings say; raises what ``load_all`` does."""
    return model_loader(settings).load_all()


def model_loader(settings: Settings) -> ModelLoader:
    """What loads models: the same at the start and while the service runs."""
    return ModelLoader(
        settings.models_dir,
        SessionOptions(settings.provider, gpu_mem_limit_bytes=settings.gpu_mem_limit_bytes),
        settings.precision,
        settings.default_model,
        trusted_key=settings.trusted_key_file,
    )


def runtime_of(request: Request) -> Runtime:
    """The runtime of the application that a request came to."""
    return cast("Runtime", request.app.state.runtime)
