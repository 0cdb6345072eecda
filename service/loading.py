"""Loads models, at the start and while requests go on.

A new bundle is verified, loaded, compared with its golden answers and warmed beside what is served;
only then is the whole repository swapped, between two requests. A bundle that fails any check
changes nothing: what is served of it goes on. A request that has begun keeps the models that it
began with, and the last of them to end frees the old ones' memory.
"""

import asyncio
import contextlib
import ctypes
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from contract.errors import ContractError, SignatureMismatch
from contract.golden import read_golden
from contract.manifest import (
    ModelManifest,
    Precision,
    is_segmenter,
    read_manifest,
    read_segmenter,
    read_verified_model,
)
from contract.trust import check_trusted
from service.domain import BATCH_SIZES, PROBABILITIES, QUALITY, LungSegmenter, ServedModel, Session
from service.errors import ProblemType, ServiceError, where
from service.logs import MAX_REASON_LENGTH, Logger
from service.machine import Provider, gains_by_int8
from service.metrics import Metrics
from service.repository import ModelRepository
from service.schemas import ModelChanges, RefusedBundle
from service.session import OnnxSession
from service.settings import Settings

Disabled = frozenset[str]


def find_bundles(folder: Path, *, segmenters: bool = False) -> Mapping[str, Path]:
    """List the bundles ``<folder>/<name>/<version>/``, whole or not, by ``<name>/<version>``.

    Classifiers, or segmenters, which answer no request of their own. A name that begins with a dot
    is somebody's draft.
    """
    return {
        f"{bundle.parent.name}/{bundle.name}": bundle
        for bundle in sorted(folder.glob("*/*"))
        if bundle.name.isdigit()
        and not bundle.parent.name.startswith(".")
        and bundle.is_dir()
        and is_segmenter(bundle) == segmenters
    }


@dataclass(frozen=True, slots=True)
class ModelLoader:
    """Loads the bundles of a folder, as the settings say."""

    settings: Settings
    open_session: Callable[[bytes, ModelManifest, Provider, int], Session] = OnnxSession

    def load_all(self) -> ModelRepository:
        """Load every model of the folder.

        Raises StartError where there is no bundle, or not the default; else as ``load_model``.
        """
        segmenter = self.load_segmenter(None)
        models = map(self.load_model, find_bundles(self.settings.models_dir).values())
        repository = ModelRepository(models, self.settings.default_model, segmenter)
        # Imports and graphs leave holes of many megabytes in the heap.
        ctypes.CDLL(None).malloc_trim(0)
        return repository

    def load_model(self, bundle: Path) -> ServedModel:
        """Verify a bundle, load it, compare its golden answers, and warm it.

        A bundle that lacks the wanted precision is served in fp32, which every other is measured
        against. ``auto`` is INT8 where this CPU gains by it. Raises ManifestError where it is not
        what its manifest says, or answers otherwise; StartError where the asked-for execution
        provider does not run here; InferenceFailed or DeviceLost where the model does not.
        """
        self._check_trusted(bundle)
        manifest = read_manifest(bundle)
        if manifest.quality and all(each.name != QUALITY for each in manifest.signature.outputs):
            raise SignatureMismatch(
                f"{manifest.name} version {manifest.version} has limits of quality, but its graph "
                f"has no output {QUALITY}. Export the model again."
            )
        golden = read_golden(bundle, manifest)
        wanted = self.settings.precision
        if wanted == "auto":
            wanted = "int8" if gains_by_int8() else "fp32"
        model = self._open(bundle, manifest, wanted if wanted in manifest.digests else "fp32")
        if model.batched and self.settings.precision == "auto" and model.precision != "fp32":
            # An accelerator has no use for the file that is made for CPUs.
            model = self._open(bundle, manifest, "fp32")
        if golden is not None:
            # One at a time: every model runs single images, in whatever batches it runs besides.
            images = (golden.images[i : i + 1] for i in range(len(golden.images)))
            answers = [model.run(image)[PROBABILITIES] for image in images]
            golden.check(np.concatenate(answers), model.precision)
        # Every size is run once, so that no request pays for what a first run sets up.
        for size in BATCH_SIZES if model.batched else (1,):
            blank = np.zeros((size, *manifest.preprocessing.size, 1), np.uint8)
            model.run(blank, activation_map=True)
            model.run(blank)
        return model

    def _open(self, bundle: Path, manifest: ModelManifest, precision: Precision) -> ServedModel:
        file = read_verified_model(bundle, manifest, precision)
        provider, most = self.settings.provider, self.settings.gpu_mem_limit_bytes
        return ServedModel(manifest, self.open_session(file, manifest, provider, most), precision)

    def load_segmenter(self, current: LungSegmenter | None) -> LungSegmenter | None:
        """Verify, load and warm the segmenter of the folder, unless it is the ``current`` one.

        Of several the first in name order serves, in its latest version; None where there is none.
        Raises ManifestError where the bundle is not what its manifest says, and InferenceFailed.
        """
        bundles = find_bundles(self.settings.models_dir, segmenters=True).values()
        if not bundles:
            return None
        chosen = min(bundles, key=lambda bundle: (bundle.parent.name, -int(bundle.name)))
        self._check_trusted(chosen)
        manifest, file = read_segmenter(chosen)
        if current is not None and manifest == current.manifest:
            return current
        # It is small and asked for few images, and an accelerator is the classifiers'.
        most = self.settings.gpu_mem_limit_bytes
        segmenter = LungSegmenter(manifest, OnnxSession(file, manifest, "cpu", most))
        segmenter.find(np.zeros((*manifest.preprocessing.size, 1), np.uint8))
        return segmenter

    def _check_trusted(self, bundle: Path) -> None:
        if self.settings.trusted_key_file is not None:
            check_trusted(bundle, self.settings.trusted_key_file.read_bytes())

    def sync(
        self, current: ModelRepository, disabled: Disabled
    ) -> tuple[ModelRepository, ModelChanges]:
        """Load what is to be served next, without the ``disabled`` bundles; nothing is swapped."""
        found: Mapping[str, Path] = {}
        with contextlib.suppress(OSError):
            found = find_bundles(self.settings.models_dir)
        if found:
            repository, refused = self._load_changed(current, found, disabled)
        else:
            # More likely a mount that is gone than somebody's wish to serve nothing.
            repository, refused = current, {"*": "There is no bundle in the models folder."}
        before, after = current.bundles(), repository.bundles()
        return repository, ModelChanges(
            default=repository.default,
            loaded=[name for name in sorted(after) if after[name] is not before.get(name)],
            unloaded=[name for name in sorted(before) if name not in after],
            refused=[RefusedBundle(bundle=name, reason=why) for name, why in refused.items()],
        )

    def _load_changed(
        self, current: ModelRepository, found: Mapping[str, Path], disabled: Disabled
    ) -> tuple[ModelRepository, dict[str, str]]:
        """The models to serve, and why bundles are not served as they lie there, by their names."""
        wanted = {name: found[name] for name in sorted(found.keys() - disabled)}
        models = {model.bundle: model for model in current.all() if model.bundle in wanted}
        segmenter, refused = current.segmenter, {}
        for name, bundle in wanted.items():
            try:
                if name in models and read_manifest(bundle) == models[name].manifest:
                    # What is in memory is served in any case; the next start would need the files.
                    self._check_trusted(bundle)
                    read_golden(bundle, models[name].manifest)
                    for precision in models[name].manifest.digests:
                        read_verified_model(bundle, models[name].manifest, precision)
                else:
                    models[name] = self.load_model(bundle)
            except Exception as error:  # noqa: BLE001 - whatever it is, what is served goes on
                refused[name] = _reason(error)
        if all(model.manifest.name != current.default for model in models.values()):
            for model in current.versions(current.default):
                models[model.bundle] = model
                refused[model.bundle] = "The default model cannot be unloaded."
        try:
            segmenter = self.load_segmenter(segmenter)
        except Exception as error:  # noqa: BLE001 - whatever it is, what is served goes on
            refused["segmenter"] = _reason(error)
        # A model that is added later does not take the default's place.
        default = self.settings.default_model or current.default
        return ModelRepository(models.values(), default, segmenter), refused


class Serving(Protocol):
    """Whatever answers new requests with the models of a repository."""

    repository: ModelRepository


class Reloader:
    """Brings what is served in line with the folder: one change at a time."""

    def __init__(
        self, loader: ModelLoader, serving: Serving, metrics: Metrics, log: Logger
    ) -> None:
        self._loader = loader
        self._serving = serving
        self._metrics = metrics
        self._log = log
        self._one_at_a_time = asyncio.Lock()
        self._disabled: Disabled = frozenset()
        self._known: list[RefusedBundle] = []

    async def reload(self, cause: str) -> ModelChanges:
        """Load what is new or changed, drop what is gone; ``cause`` is for the log."""
        async with self._one_at_a_time:
            return await self._sync(cause, self._disabled)

    async def load(self, bundle: str) -> ModelChanges:
        """Serve a bundle that was unloaded before; with it, whatever else the folder has.

        Raises ServiceError where the folder has no such bundle, or it failed a check.
        """
        if bundle not in await asyncio.to_thread(find_bundles, self._loader.settings.models_dir):
            raise ServiceError(
                ProblemType.UNKNOWN_MODEL, "There is no such bundle in the models folder."
            )
        return await self._switch("load", bundle, lambda disabled: disabled - {bundle})

    async def unload(self, bundle: str) -> ModelChanges:
        """Stop to serve a bundle that stays in the folder, until it is loaded or the next start.

        Raises ServiceError where it is not served, or all that is left of the default model.
        """
        if all(model.bundle != bundle for model in self._serving.repository.all()):
            raise ServiceError(
                ProblemType.UNKNOWN_MODEL, "There is no such model, or not that version."
            )
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
        self, cause: str, bundle: str, change: Callable[[Disabled], Disabled]
    ) -> ModelChanges:
        async with self._one_at_a_time:
            wanted = change(self._disabled)
            done = await self._sync(cause, wanted)
            for refusal in done.refused:
                if refusal.bundle == bundle:
                    raise ServiceError(ProblemType.RELOAD_REFUSED, refusal.reason)
            self._disabled = wanted
            return done

    async def _sync(self, cause: str, disabled: Disabled) -> ModelChanges:
        started = time.perf_counter()
        current = self._serving.repository
        repository, done = await asyncio.to_thread(self._loader.sync, current, disabled)
        self._serving.repository = repository
        self._metrics.models(repository.all())
        self._metrics.reload(len(done.loaded), len(done.unloaded), len(done.refused))
        polled = cause == "poll"
        if done.loaded or done.unloaded or not polled:
            self._log.info(
                "reload",
                cause=cause,
                loaded=done.loaded,
                unloaded=done.unloaded,
                default=done.default,
                seconds=round(time.perf_counter() - started, 3),
            )
        loaded = [model for model in repository.all() if model.bundle in done.loaded]
        warn_of_precision(self._log, loaded, self._loader.settings)
        for refusal in done.refused:
            # A bundle that stays wrong is told once, and not at every look at the folder.
            if not polled or refusal not in self._known:
                self._log.error("bundle refused", bundle=refusal.bundle, reason=refusal.reason)
        self._known = done.refused
        return done


def warn_of_precision(log: Logger, models: Iterable[ServedModel], settings: Settings) -> None:
    """Name the models that have no file of the precision that was asked for by name."""
    wanted = settings.precision
    lacking = [model.bundle for model in models if wanted not in ("auto", model.precision)]
    if lacking:
        log.warning("precision not there", wanted=wanted, served_in_fp32=lacking)


def _reason(error: Exception) -> str:
    """In one line; what is unforeseen says nothing of the inside but its kind."""
    if not isinstance(error, ContractError | ServiceError):
        return f"{type(error).__name__} while it was loaded."
    return " ".join(str(error).split())[:MAX_REASON_LENGTH]
