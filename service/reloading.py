"""Changes which models are served, while requests go on.

A new bundle is verified, loaded, compared with its golden answers and warmed beside what is served;
only then is the whole repository swapped, between two requests. A request that has begun keeps the
models that it began with, and the last of them to end frees the old ones' memory.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from contract.manifest import Precision
from service.engines.pool import Engines
from service.errors import ReloadRefused, ServiceError, StartError
from service.logs import Logger, where
from service.metrics import Metrics
from service.model_changes import (
    ModelSource,
    Refusal,
    Reload,
    follow_folder,
    serve_also,
    serve_without,
)
from service.predictor import Predictor
from service.repository import ModelRepository, ServedModel

EnginesFor = Callable[[ModelRepository, Engines | None], Awaitable[Engines | None]]


class Reloader:
    """Changes what a predictor serves: one change at a time, off the event loop."""

    def __init__(
        self,
        source: ModelSource,
        engines_for: EnginesFor,
        predictor: Predictor,
        metrics: Metrics,
        log: Logger,
    ) -> None:
        """Take the parts.

        Args:
            source: Where models come from.
            engines_for: Starts engines for models; the ones that it is given where they suit them.
            predictor: What serves the models.
            metrics: Where changes are counted.
            log: Where they are told.
        """
        self._source = source
        self._engines_for = engines_for
        self._predictor = predictor
        self._metrics = metrics
        self._log = log
        self._one_at_a_time = asyncio.Lock()
        self._withdrawn: frozenset[str] = frozenset()
        self._known: frozenset[Refusal] = frozenset()

    async def reload(self, cause: str) -> Reload:
        """Bring what is served in line with the folder.

        Args:
            cause: Who asked, for the log.
        """
        async with self._one_at_a_time:
            return await self._change(
                cause, lambda now: follow_folder(self._source, now, self._withdrawn)
            )

    async def load(self, bundle: str) -> Reload:
        """Serve a bundle, also one that was unloaded before.

        Raises:
            UnknownModel: The folder has no such bundle.
            ReloadRefused: It failed a check.
        """
        async with self._one_at_a_time:
            done = await self._change("load", lambda now: serve_also(self._source, now, bundle))
            _raise_refusal(done, bundle)
            self._withdrawn -= {bundle}
            return done

    async def unload(self, bundle: str) -> Reload:
        """Stop to serve a bundle that stays in the folder, until it is loaded or the next start.

        Raises:
            UnknownModel: It is not served.
            ReloadRefused: It is all that is left of the default model.
        """
        async with self._one_at_a_time:
            done = await self._change(
                "unload", lambda now: serve_without(self._source, now, bundle)
            )
            _raise_refusal(done, bundle)
            self._withdrawn |= {bundle}
            return done

    async def poll(self, every_s: float) -> None:
        """Look at the folder for ever."""
        while True:
            await asyncio.sleep(every_s)
            await self.follow("poll")

    async def follow(self, cause: str) -> None:
        """Reload where nobody waits for the answer: an unforeseen error goes to the log alone."""
        try:
            await self.reload(cause)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look may go well
            self._log.error(
                "reload failed",
                cause=cause,
                error=type(error).__name__,
                reason=str(error) if isinstance(error, ServiceError) else None,
                places=where(error),
            )

    async def _change(self, cause: str, change: Callable[[ModelRepository], Reload]) -> Reload:
        started = time.perf_counter()
        done = await asyncio.to_thread(change, self._predictor.repository)
        try:
            engines = await self._engines_for(done.repository, self._predictor.engines)
        except StartError as error:
            raise ReloadRefused(str(error)) from error
        self._predictor.serve(done.repository, engines)
        self._metrics.models(done.repository)
        self._metrics.reload(len(done.loaded), len(done.unloaded), len(done.refused))
        self._tell(cause, done, time.perf_counter() - started)
        return done

    def _tell(self, cause: str, done: Reload, seconds: float) -> None:
        polled = cause == "poll"
        if done.loaded or done.unloaded or not polled:
            self._log.info(
                "reload",
                cause=cause,
                loaded=done.loaded,
                unloaded=done.unloaded,
                default=done.repository.default,
                seconds=round(seconds, 3),
            )
        loaded = [model for model in done.repository.all() if model.bundle in done.loaded]
        warn_of_precision(self._log, loaded, self._source.precision)
        for refusal in done.refused:
            # A bundle that stays wrong is told once, and not at every look at the folder.
            if not polled or refusal not in self._known:
                self._log.error("bundle refused", bundle=refusal.bundle, reason=refusal.reason)
        self._known = frozenset(done.refused)


def warn_of_precision(log: Logger, models: Iterable[ServedModel], wanted: Precision) -> None:
    """Name the models that have no file of the wanted precision."""
    lacking = [model.bundle for model in models if model.precision != wanted]
    if lacking:
        log.warning("precision not there", wanted=wanted, served_in_fp32=lacking)


def _raise_refusal(done: Reload, bundle: str) -> None:
    for refusal in done.refused:
        if refusal.bundle == bundle:
            raise ReloadRefused(refusal.reason)
