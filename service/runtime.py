"""What a running service holds, and where it stands between start and stop."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Literal, cast

from starlette.requests import Request

from contract.errors import ContractError
from contract.manifest import Precision
from service.auth import Keys
from service.batcher import MicroBatcher
from service.cpus import available_cpus
from service.decoders import Decoders, memory_budget
from service.device import DeviceWatch
from service.errors import (
    NotReady,
    ServiceError,
    ShuttingDown,
    StartError,
    Unavailable,
)
from service.limits import Admission, ReceiveBudget
from service.logs import Logger
from service.lungs import load_segmenter
from service.metrics import Metrics
from service.predictor import Predictor
from service.priorities import PriorityThreads
from service.reload import ModelSource, Reloader, warn_of_precision
from service.repository import ModelRepository, load_model, load_repository
from service.session import CPU, OnnxSession, SessionOptions, has_cuda, why_no_cuda
from service.settings import Settings, retired_settings
from service.tracing import open_tracing

Status = Literal["loading", "ready", "device-lost", "stopping", "failed"]
OpenModels = Callable[[Settings], ModelRepository]
_LOADING = "The models are still loading, or did not load."


class Runtime:
    """The state of one service process; ``open_models`` loads and warms the models.

    Raises:
        InvalidConfiguration: The key file cannot be used.
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
        self.metrics.in_flight.set_function(lambda: self.admission.in_flight)
        self.keys = Keys(settings.api_keys_file, log) if settings.api_keys_file else None
        self.failure: ContractError | ServiceError | None = None
        self._started = time.monotonic()
        self._predictor: Predictor | None = None
        self._reloader: Reloader | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._device: DeviceWatch | None = None
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
        return "device-lost" if self._device is not None and self._device.lost else "ready"

    @property
    def uptime_s(self) -> float:
        """Seconds since the process began to load."""
        return time.monotonic() - self._started

    @property
    def repository(self) -> ModelRepository | None:
        """The models; None until they are loaded."""
        return self._predictor.repository if self._predictor else None

    @property
    def execution_provider(self) -> str | None:
        """Where the default model really runs; None until it is loaded."""
        return self.repository.get().session.provider if self.repository else None

    @property
    def precision(self) -> Precision | None:
        """That of the default model; None until it is loaded."""
        return self.repository.get().precision if self.repository else None

    def predictor(self) -> Predictor:
        """The predictor, for new work.

        Raises:
            NotReady: The models are not loaded.
            ShuttingDown: New work is not taken any more.
        """
        if self._stopping:
            raise ShuttingDown("The service is stopping.")
        if self._predictor is None:
            raise NotReady(_LOADING)
        return self._predictor

    def reloader(self) -> Reloader:
        """What changes the served models; raises what ``predictor`` does."""
        self.predictor()
        if self._reloader is None:
            raise NotReady(_LOADING)
        return self._reloader

    def check_decoders(self) -> None:
        """See that every kind of file can be decoded.

        Raises:
            NotReady: No decoder works, and none is there again yet.
        """
        if self._predictor is not None and not self._predictor.can_decode:
            raise NotReady("The processes that decode images are starting again.")

    async def check_device(self) -> None:
        """On an accelerator, run a model.

        Raises:
            DeviceLost: The accelerator fails, or does not answer.
        """
        if self._device is not None:
            await self._device.check()

    def look_for_device(self) -> None:
        """Where the accelerator is lost, find out whether it is back, without waiting for that."""
        if self._device is not None:
            self._device.look_again()

    def report_device_lost(self) -> None:
        """Take note that a model did not run on the accelerator."""
        if self._device is not None:
            self._device.report_lost()

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

    def reload_on_signal(self) -> None:
        """Bring keys and models in line with their files, without waiting for the models."""
        if self.keys is not None:
            self.keys.read()
        try:
            self._keep(self.reloader().follow("signal"))
        except Unavailable as error:
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
        if self._device is not None:
            self._device.close()
        if self._predictor is not None:
            await self._predictor.close()
        await asyncio.to_thread(self.tracing.close)

    def _serve(self, repository: ModelRepository) -> None:
        settings = self.settings
        budget = settings.decode_memory_bytes
        decoders = Decoders(
            settings.decoders, memory_budget() if budget is None else budget, settings.max_pixels
        )
        self._predictor = predictor = Predictor(
            repository,
            PriorityThreads(settings.threads),
            decoders,
            MicroBatcher(self.metrics.batch),
            settings.max_pixels,
        )
        self._device = DeviceWatch(partial(_run_on_accelerator, predictor), self.log)
        self.metrics.queue_depth.set_function(lambda: predictor.depth)
        self._reloader = Reloader(model_source(settings), predictor, self.metrics, self.log)
        if settings.models_poll_s:
            self._keep(self._reloader.poll(settings.models_poll_s))
        self.metrics.models(repository)
        models = repository.all()
        self.log.info(
            "ready",
            execution_provider=self.execution_provider,
            precision=self.precision,
            models=[model.bundle for model in models],
            without_golden=[each.bundle for each in models if not each.manifest.golden_digest],
            seconds=round(self.uptime_s, 3),
        )

    def _keep(self, work: Coroutine[object, object, object]) -> None:
        """Have work done beside the requests; a task that nobody holds could be collected."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
    """Load every model of the models folder, as the settings say.

    Raises:
        NoModel: There is no bundle, or not the default.
        ManifestError: A bundle is not what its manifest says.
        ProviderUnavailable: The asked-for execution provider does not run here.
    """
    source = model_source(settings)
    segmenter = source.load_segmenter(None)
    return load_repository(source.folder, source.load_model, source.default, segmenter)


def model_source(settings: Settings) -> ModelSource:
    """Where models come from: the same at the start and while the service runs."""
    options = SessionOptions(settings.provider, 1, settings.gpu_mem_limit_bytes)
    cpus = available_cpus()
    lone = replace(options, provider="cpu", threads=cpus)
    return ModelSource(
        settings.models_dir,
        partial(
            load_model,
            open_session=partial(OnnxSession, options=options),
            precision=settings.precision,
            open_lone=partial(OnnxSession, options=lone) if cpus > 1 else None,
        ),
        partial(load_segmenter, settings.models_dir, options),
        settings.default_model,
        settings.precision,
    )


async def _run_on_accelerator(predictor: Predictor) -> None:
    """Run a model that is on the accelerator now; nothing where none is."""
    for model in predictor.repository.all():
        if model.batched:
            await predictor.probe(model)
            return


def runtime_of(request: Request) -> Runtime:
    """The runtime of the application that a request came to."""
    return cast("Runtime", request.app.state.runtime)
