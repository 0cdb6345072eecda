"""What a running service holds, and where it stands between start and stop."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, cast

from starlette.requests import Request

from contract.errors import ContractError
from contract.manifest import ModelManifest, Precision
from service.admission import Admission
from service.batching import DynamicBatcher
from service.device import DeviceWatch
from service.engines.engine import prepare
from service.engines.pool import Engines
from service.engines.process import EngineModels
from service.errors import NotReady, ServiceError, ShuttingDown, StartError, Unavailable
from service.executors import PriorityExecutor
from service.keys import ApiKey, read_keys
from service.logs import Logger
from service.lungs import load_segmenter
from service.metrics import Metrics
from service.model_changes import ModelSource
from service.predictor import Predictor
from service.receiving import ReceiveBudget
from service.reloading import Reloader, warn_of_precision
from service.replicas import ReplicatedSession, devices_of
from service.repository import ModelRepository, load_model, load_repository
from service.session import (
    CPU,
    InferenceSession,
    OnnxSession,
    SessionOptions,
    has_cuda,
    why_no_cuda,
)
from service.settings import Settings
from service.tracing import open_tracing

Status = Literal["loading", "ready", "device-lost", "stopping", "failed"]
OpenModels = Callable[[Settings], ModelRepository]


class Runtime:
    """The state of one service process."""

    def __init__(self, settings: Settings, log: Logger, open_models: OpenModels) -> None:
        """Prepare to load.

        Args:
            settings: Of this process.
            log: For what happens outside of any request.
            open_models: Loads and warms the models.

        Raises:
            InvalidConfiguration: The key file cannot be used.
        """
        self.settings = settings
        self.log = log
        self._open_models = open_models
        self.metrics = Metrics()
        self.tracing = open_tracing(settings.otlp_endpoint)
        self.admission = Admission(settings.queue_limit)
        self.receive_budget = ReceiveBudget(settings.receive_budget_bytes)
        self.metrics.queue_limit.set(settings.queue_limit)
        self.metrics.in_flight.set_function(lambda: self.admission.in_flight)
        self.keys: tuple[ApiKey, ...] | None = None
        if settings.api_keys_file is not None:
            self.keys = read_keys(settings.api_keys_file)
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
        if self._predictor is None or self._predictor.waits_for_engines:
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
            raise NotReady("The models are still loading, or did not load.")
        return self._predictor

    def check_engines(self) -> None:
        """Where engines read the images, see that there is one.

        Raises:
            NotReady: All have died, and none is there again yet.
        """
        if self._predictor is not None and self._predictor.waits_for_engines:
            raise NotReady("The processes that read images are starting again.")

    async def load(self) -> None:
        """Load and warm all models; what goes wrong is kept in ``failure``."""
        try:
            repository, engines = await self._open()
        except (ContractError, ServiceError) as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the service cannot start
            self.failure = StartError(f"{type(error).__name__}: {error}")
        else:
            await self._warn_of_cpu(repository)
            warn_of_precision(self.log, repository.all(), self.settings.precision)
            self._predictor = predictor = self._make_predictor(repository, engines)
            self._device = DeviceWatch(partial(_run_on_accelerator, predictor), self.log)
            self.metrics.queue_depth.set_function(lambda: predictor.depth)
            self._reloader = Reloader(
                model_source(self.settings), self._engines_for, predictor, self.metrics, self.log
            )
            if self.settings.models_poll_s:
                self._keep(self._reloader.poll(self.settings.models_poll_s))
            self.metrics.models(repository)
            self.log.info(
                "ready",
                execution_provider=self.execution_provider,
                precision=self.precision,
                models=[model.bundle for model in repository.all()],
                without_golden=[
                    model.bundle for model in repository.all() if not model.manifest.golden_digest
                ],
                seconds=round(self.uptime_s, 3),
            )

    def reloader(self) -> Reloader:
        """What changes the served models.

        Raises:
            NotReady: The models are not loaded.
            ShuttingDown: Nothing is changed any more.
        """
        self.predictor()
        if self._reloader is None:
            raise NotReady("The models are still loading, or did not load.")
        return self._reloader

    def reload_on_signal(self) -> None:
        """Bring the served models in line with the folder, without waiting for that."""
        try:
            self._keep(self.reloader().follow("signal"))
        except Unavailable as error:
            self.log.warning("no reload", reason=str(error))

    def begin_stopping(self) -> None:
        """Take no new work; what was accepted is finished."""
        self._stopping = True

    async def close(self) -> None:
        """Stop the threads and the engines."""
        for task in self._tasks:
            task.cancel()
        if self._device is not None:
            self._device.close()
        if self._predictor is not None:
            if self._predictor.engines is not None:
                await self._predictor.engines.close()
            await asyncio.to_thread(self._predictor.close)
        await asyncio.to_thread(self.tracing.close)

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

    def _keep(self, work: Coroutine[object, object, object]) -> None:
        """Have work done beside the requests; a task that nobody holds could be collected."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _warn_of_cpu(self, repository: ModelRepository) -> None:
        """Say why models run on the CPU that could have run on CUDA."""
        on_cpu = [model for model in repository.all() if model.session.provider == CPU]
        if self.settings.provider != "auto" or not on_cpu or not has_cuda():
            return
        none_on_cuda = len(on_cpu) == len(repository.all())
        self.log.warning(
            "cuda not used",
            reason=await asyncio.to_thread(why_no_cuda)
            if none_on_cuda
            else "other models run on it",
            models=[model.bundle for model in on_cpu],
        )

    async def _open(self) -> tuple[ModelRepository, Engines | None]:
        preparing = asyncio.to_thread(prepare) if self.settings.engines else asyncio.sleep(0)
        repository, _ = await asyncio.gather(
            asyncio.to_thread(self._open_models, self.settings), preparing
        )
        return repository, await self._engines_for(repository)

    async def _engines_for(
        self, repository: ModelRepository, current: Engines | None = None
    ) -> Engines | None:
        """Engines for these models, ready; the current ones where they serve the same.

        Raises:
            StartError: They do not start.
        """
        settings = self.settings
        if not settings.engines:
            return None
        models = EngineModels.of(repository, settings.intra_op_threads, settings.max_pixels)
        if current is not None and current.models == models:
            return current
        return await Engines(settings.engines, models, repository, self.log).start()

    def _make_predictor(self, repository: ModelRepository, engines: Engines | None) -> Predictor:
        # More than one inference thread for a GPU adds jitter, and no throughput.
        on_cpu = all(model.session.provider == CPU for model in repository.all())
        gpus = len(self.settings.gpu_devices)
        predictor = Predictor(
            repository,
            PriorityExecutor("worker", self.settings.decode_workers),
            DynamicBatcher(
                self.settings.inference_workers if on_cpu else gpus,
                self.metrics.batch,
                self.tracing,
            ),
            self.settings.max_pixels,
        )
        predictor.serve(repository, engines)
        return predictor


def open_repository(settings: Settings) -> ModelRepository:
    """Load every model of the models folder, as the settings say.

    Raises:
        NoModel: There is no bundle, or not the default.
        ManifestError: A bundle is not what its manifest says.
        ProviderUnavailable: The asked-for execution provider does not run here.
    """
    options = session_options(settings)
    return load_repository(
        settings.models_dir,
        partial(open_replicas, options=options, devices=settings.gpu_devices),
        settings.default_model,
        load_segmenter(settings.models_dir, options, keep_file=settings.engines > 0),
        settings.precision,
        keep_files=settings.engines > 0,
    )


def model_source(settings: Settings) -> ModelSource:
    """Where models come from while the service runs: the same folder, loaded in the same way."""
    options = session_options(settings)
    return ModelSource(
        settings.models_dir,
        partial(
            load_model,
            open_session=partial(open_replicas, options=options, devices=settings.gpu_devices),
            precision=settings.precision,
            keep_file=settings.engines > 0,
        ),
        partial(load_segmenter, settings.models_dir, options, keep_file=settings.engines > 0),
        settings.default_model,
        settings.precision,
    )


def session_options(settings: Settings) -> SessionOptions:
    """The part of the settings that a session is told."""
    return SessionOptions(
        settings.provider,
        settings.intra_op_threads,
        settings.gpu_mem_limit_bytes,
        tensorrt_cache_dir=settings.tensorrt_cache_dir,
    )


async def _run_on_accelerator(predictor: Predictor) -> None:
    """Run a model that is on the accelerator now; nothing where none is."""
    for model in predictor.repository.all():
        if model.session.provider != CPU:
            await predictor.probe(model)
            return


def open_replicas(
    model: bytes, manifest: ModelManifest, options: SessionOptions, devices: Sequence[int]
) -> InferenceSession:
    """Load a graph on every device; once where it runs on the CPU.

    Raises:
        ProviderUnavailable: The asked-for execution provider does not run, or not on every device.
        SignatureMismatch: The bytes are no graph, or not the one that the manifest describes.
    """
    first = OnnxSession(model, manifest, replace(options, device=devices[0]))
    if first.provider == CPU or len(devices) == 1:
        return first
    # What runs on the first device must not fall back to the CPU on another.
    strict = replace(options, provider="cuda" if options.provider == "auto" else options.provider)
    others = [OnnxSession(model, manifest, replace(strict, device=each)) for each in devices[1:]]
    return ReplicatedSession([first, *others], devices_of(tuple(devices)))


def runtime_of(request: Request) -> Runtime:
    """The runtime of the application that a request came to."""
    return cast("Runtime", request.app.state.runtime)
