"""The models that are served: found, verified, loaded, warmed, and looked up.

The folder is read once, when the service starts. What is loaded is one immutable mapping, so that
a reload can put another in its place between two requests.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.errors import InvalidManifest
from contract.manifest import ModelManifest, read_manifest, read_verified_model
from contract.segmenter import is_segmenter
from service.errors import NoModel, UnknownModel
from service.session import InferenceSession

OpenSession = Callable[[bytes, ModelManifest], InferenceSession]
WARM_BATCH_SIZES = (1,)
RADIOGRAPHY = frozenset({"CR", "DX"})


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One version of one model, ready to run."""

    manifest: ModelManifest
    session: InferenceSession


class ModelRepository:
    """All served models, by name and version."""

    def __init__(
        self, models: Mapping[str, Mapping[int, ServedModel]], default: str | None = None
    ) -> None:
        """Take loaded models.

        Args:
            models: At least one name, each with at least one version.
            default: The name of the model for an image whose modality names no other; where None,
                the one for radiographs with the most findings, the first in name order of several.

        Raises:
            NoModel: There is none, or not the default.
        """
        self._models = {name: dict(sorted(models[name].items())) for name in sorted(models)}
        if not self._models:
            raise NoModel("There is no model bundle in PNEUMO_MODELS_DIR.")
        self._default = default or self._widest()
        if self._default not in self._models:
            raise NoModel(
                f"PNEUMO_DEFAULT_MODEL is {self._default}, but the models are "
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
            raise UnknownModel(f"There is no model of that name. There are: {self._names()}.")
        return tuple(self._models[name].values())

    def get(self, name: str | None = None, version: int | None = None) -> ServedModel:
        """Look up a model; the default one and the latest version where nothing is said.

        Raises:
            UnknownModel: There is no such model or version.
        """
        versions = self.versions(self._default if name is None else name)
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
        names = sorted(self._models, key=lambda name: name != self._default)
        for name in names:
            if modality in self.get(name).manifest.modalities:
                return self.get(name, version)
        return self.get(None, version)

    @property
    def default(self) -> str:
        """The name of the default model."""
        return self._default

    def _widest(self) -> str:
        """Most images that say nothing of themselves are radiographs, with anything on them."""
        return max(self._models, key=self._breadth)

    def _breadth(self, name: str) -> tuple[bool, int]:
        manifest = self.get(name).manifest
        return not RADIOGRAPHY.isdisjoint(manifest.modalities), len(manifest.findings)

    def _names(self) -> str:
        return ", ".join(self._models)


def load_repository(
    folder: Path, open_session: OpenSession, default: str | None = None
) -> ModelRepository:
    """Read every classifier ``<folder>/<name>/<version>/``, verify it, load it, and warm it.

    Args:
        folder: The model repository on disk.
        open_session: Makes a session of a graph's bytes and its manifest.
        default: The name of the default model.

    Raises:
        NoModel: There is no bundle, or not the default.
        ManifestError: A bundle is not what its manifest says.
        ProviderUnavailable: The asked-for execution provider does not run here.
    """
    models: dict[str, dict[int, ServedModel]] = {}
    for bundle in sorted(folder.glob("*/*")):
        # A segmenter answers no request of its own.
        if not (bundle.is_dir() and bundle.name.isdigit()) or is_segmenter(bundle):
            continue
        model = _load(bundle, open_session)
        models.setdefault(model.manifest.name, {})[model.manifest.version] = model
    return ModelRepository(models, default)


def _load(bundle: Path, open_session: OpenSession) -> ServedModel:
    manifest = read_manifest(bundle)
    if (manifest.name, str(manifest.version)) != (bundle.parent.name, bundle.name):
        raise InvalidManifest(
            f"{bundle.parent.name}/{bundle.name} holds {manifest.name} version {manifest.version}. "
            "Rename the folder."
        )
    model = ServedModel(manifest, open_session(read_verified_model(bundle, manifest), manifest))
    warm(model)
    return model


def warm(model: ServedModel) -> None:
    """Run every batch size once, so that no request pays for what the first run sets up.

    Raises:
        InferenceFailed: The model did not run.
        DeviceLost: The accelerator does not run.
    """
    height, width = model.manifest.preprocessing.size
    for batch in WARM_BATCH_SIZES:
        model.session.run(np.zeros((batch, height, width, 1), np.uint8), activation_map=True)
