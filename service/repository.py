"""The models that are served, and how one is looked up."""

from collections.abc import Iterable, Mapping

from service.domain import LungSegmenter, ServedModel
from service.errors import ProblemType, ServiceError, StartError


class ModelRepository:
    """All served models, by name and version; a reload puts another in its place.

    ``default`` is the name of the model for an image whose modality names no other; where None,
    the one for radiographs with the most findings, the first in name order of several. Raises
    StartError where there is none, or not the default.
    """

    def __init__(
        self,
        models: Iterable[ServedModel],
        default: str | None = None,
        segmenter: LungSegmenter | None = None,
    ) -> None:
        self.segmenter = segmenter
        self._models: dict[str, tuple[ServedModel, ...]] = {}
        for model in sorted(models, key=lambda each: (each.manifest.name, each.manifest.version)):
            name = model.manifest.name
            self._models[name] = (*self._models.get(name, ()), model)
        if not self._models:
            raise StartError("There is no model bundle in PNEUMO_MODELS_DIR.")
        latest = [versions[-1].manifest for versions in self._models.values()]
        # Images that say nothing of themselves are mostly radiographs of anything.
        widest = max(latest, key=lambda each: (each.reads_radiographs, len(each.findings)))
        self.default = default or widest.name
        if self.default not in self._models:
            raise StartError(
                f"PNEUMO_DEFAULT_MODEL is {self.default}, but the models are "
                f"{', '.join(self._models)}."
            )

    def all(self) -> tuple[ServedModel, ...]:
        """Every version of every model, in order."""
        return tuple(model for versions in self._models.values() for model in versions)

    def bundles(self) -> Mapping[str, LungSegmenter | ServedModel]:
        """Every model, and the segmenter, by where it lies in the models folder."""
        segmenter = () if self.segmenter is None else (self.segmenter,)
        return {each.bundle: each for each in (*self.all(), *segmenter)}

    def versions(self, name: str) -> tuple[ServedModel, ...]:
        """Every version of one model, oldest first; raises ServiceError where there is none."""
        if name not in self._models:
            known = ", ".join(self._models)
            raise ServiceError(
                ProblemType.UNKNOWN_MODEL, f"There is no model of that name. There are: {known}."
            )
        return self._models[name]

    def get(self, name: str | None = None, version: int | None = None) -> ServedModel:
        """Look up a model, else the default, in a version, else the latest; raises ServiceError."""
        versions = self.versions(self.default if name is None else name)
        if version is None:
            return versions[-1]
        for model in versions:
            if model.manifest.version == version:
                return model
        known = ", ".join(str(model.manifest.version) for model in versions)
        raise ServiceError(
            ProblemType.UNKNOWN_MODEL,
            f"There is no such version of this model. There are: {known}.",
        )

    def for_modality(self, modality: str | None, version: int | None = None) -> ServedModel:
        """Choose the model for an image: by its DICOM modality, else the default.

        Where several models take the modality, the default one goes first, then name order.
        """
        for name in sorted(self._models, key=lambda name: name != self.default):
            if modality in self.get(name).manifest.modalities:
                return self.get(name, version)
        return self.get(None, version)
