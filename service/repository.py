"""The models that are served: found, verified, loaded, warmed, and looked up."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from contract.errors import InvalidManifest, SignatureMismatch
from contract.golden import Golden, read_golden
from contract.manifest import ModelManifest, Precision, read_manifest, read_verified_model
from contract.segmenter import is_segmenter
from service.batcher import SIZES
from service.errors import NoModel, UnknownModel
from service.lungs import LungSegmenter
from service.session import QUALITY, InferenceSession, ServedModel

__all__ = ["ModelRepository", "OpenSession", "ServedModel", "load_model", "load_repository"]

OpenSession = Callable[[bytes, ModelManifest], InferenceSession]
WantedPrecision = Precision | Literal["auto"]
CPUINFO = Path("/proc/cpuinfo")
_INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni"})


class ModelRepository:
    """All served models, by name and version; a reload puts another in its place.

    ``default`` is the name of the model for an image whose modality names no other; where None,
    the one for radiographs with the most findings, the first in name order of several.

    Raises:
        NoModel: There is none, or not the default.
    """

    def __init__(
        self,
        models: Mapping[str, Mapping[int, ServedModel]],
        default: str | None = None,
        segmenter: LungSegmenter | None = None,
    ) -> None:
        self.segmenter = segmenter
        self._models = {name: dict(sorted(models[name].items())) for name in sorted(models)}
        if not self._models:
            raise NoModel("There is no model bundle in PNEUMO_MODELS_DIR.")
        latest = [list(versions.values())[-1].manifest for versions in self._models.values()]
        # Images that say nothing of themselves are mostly radiographs of anything.
        widest = max(latest, key=lambda each: (each.reads_radiographs, len(each.findings)))
        self.default = default or widest.name
        if self.default not in self._models:
            raise NoModel(
                f"PNEUMO_DEFAULT_MODEL is {self.default}, but the models are "
                f"{', '.join(self._models)}."
            )

    def all(self) -> tuple[ServedModel, ...]:
        """Every version of every model, in order."""
        return tuple(model for versions in self._models.values() for model in versions.values())

    def versions(self, name: str) -> tuple[ServedModel, ...]:
        """Every version of one model, oldest first.

        Raises:
            UnknownModel: There is no model of that name.
        """
        if name not in self._models:
            known = ", ".join(self._models)
            raise UnknownModel(f"There is no model of that name. There are: {known}.")
        return tuple(self._models[name].values())

    def get(self, name: str | None = None, version: int | None = None) -> ServedModel:
        """Look up a model; the default one and the latest version where nothing is said.

        Raises:
            UnknownModel: There is no such model or version.
        """
        versions = self.versions(self.default if name is None else name)
        if version is None:
            return versions[-1]
        for model in versions:
            if model.manifest.version == version:
                return model
        known = ", ".join(str(model.manifest.version) for model in versions)
        raise UnknownModel(f"There is no such version of this model. There are: {known}.")

    def for_modality(self, modality: str | None, version: int | None = None) -> ServedModel:
        """Choose the model for an image: by its DICOM modality, else the default.

        Where several models take the modality, the default one goes first, then name order.

        Raises:
            UnknownModel: The chosen model has no such version.
        """
        for name in sorted(self._models, key=lambda name: name != self.default):
            if modality in self.get(name).manifest.modalities:
                return self.get(name, version)
        return self.get(None, version)


def load_repository(
    folder: Path,
    load: Callable[[Path], ServedModel],
    default: str | None = None,
    segmenter: LungSegmenter | None = None,
) -> ModelRepository:
    """Load every classifier of a folder; raises what ``load`` and ``ModelRepository`` do."""
    models = map(load, find_bundles(folder).values())
    return ModelRepository(by_name_and_version(models), default, segmenter)


def by_name_and_version(models: Iterable[ServedModel]) -> Mapping[str, Mapping[int, ServedModel]]:
    """Put models in the order in which a repository takes them."""
    found: dict[str, dict[int, ServedModel]] = {}
    for model in models:
        found.setdefault(model.manifest.name, {})[model.manifest.version] = model
    return found


def find_bundles(folder: Path) -> Mapping[str, Path]:
    """List the classifiers ``<folder>/<name>/<version>/``, whole or not, by ``<name>/<version>``.

    A name that begins with a dot is somebody's draft.
    """
    return {
        f"{bundle.parent.name}/{bundle.name}": bundle
        for bundle in sorted(folder.glob("*/*"))
        # A segmenter answers no request of its own: ``service.lungs`` loads it.
        if bundle.name.isdigit()
        and not bundle.parent.name.startswith(".")
        and bundle.is_dir()
        and not is_segmenter(bundle)
    }


def load_model(
    bundle: Path,
    open_session: OpenSession,
    precision: WantedPrecision = "fp32",
    open_lone: OpenSession | None = None,
) -> ServedModel:
    """Verify a bundle, load it, compare its golden answers, and warm it.

    A bundle that lacks the wanted precision is served in fp32, which every other is measured
    against. ``auto`` is INT8 where this CPU gains by it. ``open_lone`` makes the session for a lone
    image on the CPU.

    Raises:
        ManifestError: It is not what its manifest says, or answers otherwise.
        ProviderUnavailable: The asked-for execution provider does not run here.
        InferenceFailed: The model did not run.
        DeviceLost: The accelerator does not run.
    """
    manifest = read_manifest(bundle)
    _check(bundle, manifest)
    golden = read_golden(bundle, manifest)
    wanted = ("int8" if gains_by_int8() else "fp32") if precision == "auto" else precision
    found: Precision = wanted if wanted in manifest.digests else "fp32"
    file = read_verified_model(bundle, manifest, found)
    model = ServedModel(manifest, open_session(file, manifest), found)
    if model.batched and precision == "auto" and found != "fp32":
        # An accelerator has no use for the file that is made for CPUs.
        return load_model(bundle, open_session, "fp32")
    if not model.batched and open_lone is not None:
        model = replace(model, lone=open_lone(file, manifest))
    if golden is not None:
        _check_golden(model.session, golden, found)
    for session in filter(None, (model.session, model.lone)):
        _warm(session, manifest, SIZES if model.batched else SIZES[:1])
    return model


def gains_by_int8(cpuinfo: Path = CPUINFO) -> bool:
    """Whether this CPU multiplies 8-bit integers fast, as its flags say.

    Flags and no measurement: a restart never changes what is answered.
    """
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return not _INT8_FLAGS.isdisjoint(flags.split())


def _check(bundle: Path, manifest: ModelManifest) -> None:
    if (manifest.name, str(manifest.version)) != (bundle.parent.name, bundle.name):
        raise InvalidManifest(
            f"{bundle.parent.name}/{bundle.name} holds {manifest.name} version {manifest.version}. "
            "Rename the folder."
        )
    if manifest.quality and all(each.name != QUALITY for each in manifest.signature.outputs):
        raise SignatureMismatch(
            f"{manifest.name} version {manifest.version} has limits of quality, but its graph has "
            f"no output {QUALITY}. Export the model again."
        )


def _check_golden(session: InferenceSession, golden: Golden, precision: Precision) -> None:
    # One at a time: every model runs single images, in whatever batches it runs besides.
    answers = [session.run(golden.images[i : i + 1]) for i in range(len(golden.images))]
    golden.check(np.concatenate([answer.probabilities for answer in answers]), precision)


def _warm(session: InferenceSession, manifest: ModelManifest, sizes: Iterable[int]) -> None:
    """Run every size once, so that no request pays for what a first run sets up."""
    for size in sizes:
        images = np.zeros((size, *manifest.preprocessing.size, 1), np.uint8)
        session.run(images, activation_map=True)
        session.run(images)
