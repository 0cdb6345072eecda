"""What is to be served instead of what is served now: loaded, but not put in its place yet.

A bundle that fails any check changes nothing: what is served of it goes on.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.errors import ContractError
from contract.manifest import Precision, read_manifest
from service.errors import ServiceError, UnknownModel
from service.logs import MAX_REASON_LENGTH
from service.lungs import LungSegmenter
from service.repository import ModelRepository, ServedModel, by_name_and_version, find_bundles

LoadModel = Callable[[Path], ServedModel]
LoadSegmenter = Callable[[LungSegmenter | None], LungSegmenter | None]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A bundle, ``<name>/<version>``, that is not served as the folder has it, and why."""

    bundle: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reload:
    """What is to be served now, and how that differs from what was: bundles by their names."""

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
    load_model: LoadModel
    load_segmenter: LoadSegmenter
    default: str | None = None
    precision: Precision = "fp32"


def follow_folder(
    source: ModelSource, current: ModelRepository, withdrawn: frozenset[str]
) -> Reload:
    """Serve what the folder has: load what is new or changed, drop what is gone.

    Args:
        source: Where models come from.
        current: What is served.
        withdrawn: Bundles that are not to be served although they are there.
    """
    found: Mapping[str, Path] = {}
    with contextlib.suppress(OSError):
        found = find_bundles(source.folder)
    if not found:
        # More likely a mount that is gone than somebody's wish to serve nothing.
        return Reload(current, refused=(Refusal("*", "There is no bundle in the models folder."),))
    wanted = {name: path for name, path in found.items() if name not in withdrawn}
    segmenter, refused = current.segmenter, []
    try:
        segmenter = source.load_segmenter(segmenter)
    except Exception as error:  # noqa: BLE001 - whatever it is, the served one goes on
        refused = [Refusal("segmenter", _reason(error))]
    return _follow(source, current, wanted, segmenter, refused)


def serve_also(source: ModelSource, current: ModelRepository, bundle: str) -> Reload:
    """Load one bundle, whatever else the folder has.

    Raises:
        UnknownModel: The folder has no such bundle.
    """
    path = find_bundles(source.folder).get(bundle)
    if path is None:
        raise UnknownModel("There is no such bundle in the models folder.")
    wanted = {**_as_they_are(current), bundle: path}
    return _follow(source, current, wanted, current.segmenter)


def serve_without(source: ModelSource, current: ModelRepository, bundle: str) -> Reload:
    """Unload one bundle.

    Raises:
        UnknownModel: It is not served.
    """
    wanted = _as_they_are(current)
    if bundle not in wanted:
        raise UnknownModel("There is no such model, or not that version.")
    del wanted[bundle]
    return _follow(source, current, wanted, current.segmenter)


def _follow(
    source: ModelSource,
    current: ModelRepository,
    wanted: Mapping[str, Path | None],
    segmenter: LungSegmenter | None,
    refused: Iterable[Refusal] = (),
) -> Reload:
    """Load what is wanted, with its path where it has to be looked at."""
    served = {model.bundle: model for model in current.all()}
    refusals = list(refused)
    models = {}
    for name, path in wanted.items():
        try:
            models[name] = _served_or_loaded(served.get(name), path, source.load_model)
        except Exception as error:  # noqa: BLE001 - whatever it is, what is served goes on
            refusals.append(Refusal(name, _reason(error)))
            if name in served:
                models[name] = served[name]
    if all(model.manifest.name != current.default for model in models.values()):
        for model in current.versions(current.default):
            models[model.bundle] = model
            refusals.append(Refusal(model.bundle, "The default model cannot be unloaded."))
    before = {**served, **_by_bundle(current.segmenter)}
    after = {**models, **_by_bundle(segmenter)}
    return Reload(
        ModelRepository(by_name_and_version(models.values()), source.default, segmenter),
        loaded=tuple(name for name in sorted(after) if after[name] is not before.get(name)),
        unloaded=tuple(name for name in sorted(before) if name not in after),
        refused=tuple(refusals),
    )


def _served_or_loaded(
    served: ServedModel | None, path: Path | None, load: LoadModel
) -> ServedModel:
    """What is served already, where nothing has changed: the manifest has the graph's digest."""
    if served is not None and (path is None or read_manifest(path) == served.manifest):
        return served
    assert path is not None, "what is not served has a path"  # noqa: S101 - for the type checker
    return load(path)


def _by_bundle(segmenter: LungSegmenter | None) -> Mapping[str, LungSegmenter]:
    if segmenter is None:
        return {}
    return {f"{segmenter.manifest.name}/{segmenter.manifest.version}": segmenter}


def _as_they_are(current: ModelRepository) -> dict[str, Path | None]:
    return {model.bundle: None for model in current.all()}


def _reason(error: Exception) -> str:
    """In one line; what is unforeseen says nothing of the inside but its kind."""
    if not isinstance(error, ContractError | ServiceError):
        return f"{type(error).__name__} while it was loaded."
    return " ".join(str(error).split())[:MAX_REASON_LENGTH]
