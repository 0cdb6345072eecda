"""Changes which models are served, while requests go on.

A new bundle is verified, loaded, compared with its golden answers and warmed beside what is served;
only then is the whole repository swapped, between two requests. A bundle that fails any check
changes nothing: what is served of it goes on. A request that has begun keeps the models that it
began with, and the last of them to end frees the old ones' memory.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.errors import ContractError
from contract.manifest import read_manifest
from service.errors import ReloadRefused, ServiceError, UnknownModel
from service.logs import MAX_REASON_LENGTH, Logger, where
from service.lungs import LungSegmenter
from service.metrics import Metrics
from service.predictor import Predictor
from service.repository import (
    ModelRepository,
    WantedPrecision,
    by_name_and_version,
    find_bundles,
)
from service.session import ServedModel


@dataclass(frozen=True, slots=True)
class Refusal:
    """A bundle, ``<name>/<version>``, that is not served as the folder has it, and why."""

    bundle: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reload:
    """What is served from now on, and how that differs from what was: bundles by their names."""

    repository: ModelRepository
    loaded: tuple[str, ...] = ()
    unloaded: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where models come from.

    ``load_model`` verifies, loads and warms one bundle; ``load_segmenter`` gives the folder's
    segmenter, the one that it is given where that has not changed. ``default`` is the configured
    default model, ``precision`` the wanted one.
    """

    folder: Path
    load_model: Callable[[Path], ServedModel]
    load_segmenter: Callable[[LungSegmenter | None], LungSegmenter | None]
    default: str | None = None
    precision: WantedPrecision = "fp32"


class Reloader:
    """Brings what a predictor serves in line with the folder: one change at a time."""

    def __init__(
        self, source: ModelSource, predictor: Predictor, metrics: Metrics, log: Logger
    ) -> None:
        self._source = source
        self._predictor = predictor
        self._metrics = metrics
        self._log = log
        self._one_at_a_time = asyncio.Lock()
        self._disabled: frozenset[str] = frozenset()
        self._known: frozenset[Refusal] = frozenset()

    async def reload(self, cause: str) -> Reload:
        """Load what is new or changed, drop what is gone; ``cause`` is for the log."""
        async with self._one_at_a_time:
            return await self._sync(cause, self._disabled)

    async def load(self, bundle: str) -> Reload:
        """Serve a bundle that was unloaded before; with it, whatever else the folder has.

        Raises:
            UnknownModel: The folder has no such bundle.
            ReloadRefused: It failed a check.
        """
        if bundle not in await asyncio.to_thread(find_bundles, self._source.folder):
            raise UnknownModel("There is no such bundle in the models folder.")
        return await self._switch("load", bundle, lambda disabled: disabled - {bundle})

    async def unload(self, bundle: str) -> Reload:
        """Stop to serve a bundle that stays in the folder, until it is loaded or the next start.

        Raises:
            UnknownModel: It is not served.
            ReloadRefused: It is all that is left of the default model.
        """
        if all(model.bundle != bundle for model in self._predictor.repository.all()):
            raise UnknownModel("There is no such model, or not that version.")
        return await self._switch("unload", bundle, lambda disabled: disabled | {bundle})

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

    async def _switch(
        self, cause: str, bundle: str, change: Callable[[frozenset[str]], frozenset[str]]
    ) -> Reload:
        async with self._one_at_a_time:
            wanted = change(self._disabled)
            done = await self._sync(cause, wanted)
            for refusal in done.refused:
                if refusal.bundle == bundle:
                    raise ReloadRefused(refusal.reason)
            self._disabled = wanted
            return done

    async def _sync(self, cause: str, disabled: frozenset[str]) -> Reload:
        started = time.perf_counter()
        done = await asyncio.to_thread(sync, self._source, self._predictor.repository, disabled)
        self._predictor.repository = done.repository
        self._metrics.models(done.repository)
        self._metrics.reload(len(done.loaded), len(done.unloaded), len(done.refused))
        polled = cause == "poll"
        if done.loaded or done.unloaded or not polled:
            self._log.info(
                "reload",
                cause=cause,
                loaded=done.loaded,
                unloaded=done.unloaded,
                default=done.repository.default,
                seconds=round(time.perf_counter() - started, 3),
            )
        loaded = [model for model in done.repository.all() if model.bundle in done.loaded]
        warn_of_precision(self._log, loaded, self._source.precision)
        for refusal in done.refused:
            # A bundle that stays wrong is told once, and not at every look at the folder.
            if not polled or refusal not in self._known:
                self._log.error("bundle refused", bundle=refusal.bundle, reason=refusal.reason)
        self._known = frozenset(done.refused)
        return done


def warn_of_precision(log: Logger, models: Iterable[ServedModel], wanted: WantedPrecision) -> None:
    """Name the models that have no file of the precision that was asked for by name."""
    lacking = [model.bundle for model in models if wanted not in ("auto", model.precision)]
    if lacking:
        log.warning("precision not there", wanted=wanted, served_in_fp32=lacking)


def sync(source: ModelSource, current: ModelRepository, disabled: frozenset[str]) -> Reload:
    """Load what is to be served next, without the ``disabled`` bundles; nothing is swapped yet."""
    found: Mapping[str, Path] = {}
    with contextlib.suppress(OSError):
        found = find_bundles(source.folder)
    if not found:
        # More likely a mount that is gone than somebody's wish to serve nothing.
        return Reload(current, refused=(Refusal("*", "There is no bundle in the models folder."),))
    models, refused = _load_changed(source, current, found, disabled)
    segmenter = current.segmenter
    try:
        segmenter = source.load_segmenter(segmenter)
    except Exception as error:  # noqa: BLE001 - whatever it is, what is served goes on
        refused.append(Refusal("segmenter", _reason(error)))
    before = {**{model.bundle: model for model in current.all()}, **_named(current.segmenter)}
    after = {**models, **_named(segmenter)}
    return Reload(
        ModelRepository(by_name_and_version(models.values()), source.default, segmenter),
        loaded=tuple(name for name in sorted(after) if after[name] is not before.get(name)),
        unloaded=tuple(name for name in sorted(before) if name not in after),
        refused=tuple(refused),
    )


def _load_changed(
    source: ModelSource,
    current: ModelRepository,
    found: Mapping[str, Path],
    disabled: frozenset[str],
) -> tuple[dict[str, ServedModel], list[Refusal]]:
    models = {model.bundle: model for model in current.all() if model.bundle in found}
    models = {name: model for name, model in models.items() if name not in disabled}
    refused: list[Refusal] = []
    for name in sorted(found.keys() - disabled):
        try:
            # The manifest has the graph's digest: where it is the same, nothing has changed.
            if name not in models or read_manifest(found[name]) != models[name].manifest:
                models[name] = source.load_model(found[name])
        except Exception as error:  # noqa: BLE001 - whatever it is, what is served goes on
            refused.append(Refusal(name, _reason(error)))
    if all(model.manifest.name != current.default for model in models.values()):
        for model in current.versions(current.default):
            models[model.bundle] = model
            refused.append(Refusal(model.bundle, "The default model cannot be unloaded."))
    return models, refused


def _named(segmenter: LungSegmenter | None) -> Mapping[str, LungSegmenter | ServedModel]:
    return {segmenter.bundle: segmenter} if segmenter else {}


def _reason(error: Exception) -> str:
    """In one line; what is unforeseen says nothing of the inside but its kind."""
    if not isinstance(error, ContractError | ServiceError):
        return f"{type(error).__name__} while it was loaded."
    return " ".join(str(error).split())[:MAX_REASON_LENGTH]
