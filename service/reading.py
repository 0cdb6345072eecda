"""From the bytes of a file to the input of its model; runs on a decode thread or in an engine."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.dicom_facts import LATERAL, OTHER
from contract.errors import ImageError, UnsuitableImage
from contract.manifest import ModelManifest
from contract.preprocessing import preprocess
from contract.quality import Quality, assess
from contract.radiograph import Radiograph, decode
from service.errors import InferenceFailed, without_tracebacks
from service.lungs import LungMap, look_for_lungs
from service.prediction import PredictionOptions, StageTimes, Upload
from service.repository import ModelRepository, ServedModel

# Projection radiography, where a view from the side is another picture than the one from the front.
_RADIOGRAPHY = frozenset({"CR", "DX", "RF", "RG"})
# LLD and RLD, left and right lateral decubitus, are frontal views.
_LATERAL_VIEWS = frozenset({"LL", "RL", LATERAL})


@dataclass(frozen=True, slots=True)
class Fitted:
    """A file, decoded and fitted to its model. ``image`` is uint8 (height, width, 1)."""

    sha256: str
    model: ServedModel
    radiograph: Radiograph
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that is ready for its model, and what was seen of its quality.

    ``image`` is uint8 (1, height, width, 1); ``rows`` and ``columns`` are the radiograph's own.
    ``quality`` is None where the model has no limits. ``lungs`` says where the lungs are; None
    where nobody asked for them.
    """

    sha256: str
    model: ServedModel
    image: NDArray[np.uint8]
    rows: int
    columns: int
    quality: Quality | None
    lungs: LungMap | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that is no image, or none that its model takes, or whose lungs could not be sought."""

    sha256: str
    error: ImageError | InferenceFailed


@dataclass(frozen=True, slots=True)
class Pending:
    """A file that was read and waits for its model, and what has been spent on it."""

    reading: Reading
    times: StageTimes


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads files for the models of a repository."""

    repository: ModelRepository
    max_pixels: int

    def read(
        self, upload: Upload, model: ServedModel | None, options: PredictionOptions
    ) -> Fitted | Unreadable:
        """Decode a file and fit it to a model.

        Args:
            upload: The file.
            model: The model; None chooses by the file's modality.
            options: The version to choose, and the frame to read.

        Raises:
            UnknownModel: The chosen model has no such version.
        """
        data = upload.data()
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            model, radiograph = self._decode_for(data, model, options)
            check_suitable(radiograph, model.manifest)
            image = preprocess(radiograph, model.manifest.preprocessing)
        except ImageError as error:
            # The tracebacks hold the pixels, and the error lives as long as the request.
            return Unreadable(sha256, without_tracebacks(error))
        return Fitted(sha256, model, radiograph, image)

    def assess(self, fitted: Fitted, *, lungs_drawn: bool) -> Reading | Unreadable:
        """See whether an image is good enough, and where its lungs are.

        Args:
            fitted: The image.
            lungs_drawn: Whether the lungs are to be drawn.
        """
        radiograph, manifest = fitted.radiograph, fitted.model.manifest
        rows, columns, limits = radiograph.rows, radiograph.columns, manifest.quality
        quality = assess(fitted.image, rows, columns, limits) if limits else None
        try:
            lungs, quality = look_for_lungs(
                self.repository.segmenter, manifest, radiograph, quality, drawn=lungs_drawn
            )
        except InferenceFailed as error:
            return Unreadable(fitted.sha256, without_tracebacks(error))
        batch = fitted.image[np.newaxis]
        return Reading(fitted.sha256, fitted.model, batch, rows, columns, quality, lungs)

    def fit(self, data: bytes | memoryview, model: ServedModel) -> NDArray[np.uint8]:
        """Decode a file and fit it to a model, and no more: its quality is not assessed.

        Args:
            data: The file; of several frames the first is read.
            model: The model.

        Returns:
            uint8 (1, height, width, 1), of the model's size, 0 black to 255 white.

        Raises:
            ImageError: The file is no image, or none that the model takes.
        """
        radiograph = self._decode(bytes(data), model, frame=1)
        check_suitable(radiograph, model.manifest)
        return preprocess(radiograph, model.manifest.preprocessing)[np.newaxis]

    def _decode_for(
        self, data: bytes, model: ServedModel | None, options: PredictionOptions
    ) -> tuple[ServedModel, Radiograph]:
        if model is not None:
            return model, self._decode(data, model, options.frame)
        # The default model's size is a hint for JPEG alone, which names no modality: where another
        # model suits the image, it was decoded in full.
        radiograph = self._decode(data, self.repository.get(), options.frame)
        modality = radiograph.dicom.modality if radiograph.dicom else None
        return self.repository.for_modality(modality, options.version), radiograph

    def _decode(self, data: bytes, model: ServedModel, frame: int) -> Radiograph:
        # A heatmap needs no larger decode: it takes its size from the header.
        size = model.manifest.preprocessing.size
        return decode(data, frame=frame, max_pixels=self.max_pixels, at_least=size)


def check_suitable(radiograph: Radiograph, manifest: ModelManifest) -> None:
    """Refuse a DICOM image of a modality, body part or view that the model does not take.

    A file that is no DICOM says none of them, and an empty body part or view is common: all pass.
    Of what the file says, only a modality that DICOM defines is quoted.

    Raises:
        UnsuitableImage: The modality or the body part is another, or the view is lateral.

    Source: DICOM PS3.3 C.8.1.3, View Position.
    """
    facts = radiograph.dicom
    if facts is None:
        return
    if facts.modality not in manifest.modalities:
        modality = {None: "not given", OTHER: "none that DICOM defines"}.get(
            facts.modality, facts.modality
        )
        raise UnsuitableImage(
            f"The modality is {modality}; {manifest.name} takes {', '.join(manifest.modalities)}."
        )
    if facts.body_part and facts.body_part not in manifest.body_parts:
        raise UnsuitableImage(
            f"The body part is another than {', '.join(manifest.body_parts)}, "
            f"which is what {manifest.name} takes."
        )
    if facts.modality in _RADIOGRAPHY and facts.view_position in _LATERAL_VIEWS:
        raise UnsuitableImage(f"The view is lateral; {manifest.name} takes frontal ones.")
