"""One image, from the bytes of its file to its answer: all of it runs on a thread."""

import hashlib
import time
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from contract.cost import DecodeCost, estimate_cost
from contract.decision import Decision, OodResult, decide
from contract.errors import ImageError
from contract.lungs import lung_mask, share_inside
from contract.manifest import ModelManifest
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.quality import judge
from contract.radiograph import Radiograph, decode
from contract.suitability import check_suitable
from service.decoders import DecodedImage
from service.errors import DeviceLost, ServiceError
from service.heatmap import Heatmap, draw_heatmap
from service.logs import file_failed
from service.lungs import LungMap, draw_lungs, look_for_lungs
from service.prediction import ImageFailure, ImageResult, PredictionOptions, StageTimes, Upload
from service.repository import ModelRepository
from service.session import InferenceSession, ModelOutput, ServedModel

_NO_PIXELS = np.zeros((0, 0), np.uint8)


@dataclass(frozen=True, slots=True)
class Costly:
    """The file is not plain: it goes to a decoder that can be stopped."""

    cost: DecodeCost


@dataclass(frozen=True, slots=True)
class Fitted:
    """The image is ready for a model that runs elsewhere; uint8 (1, height, width, 1)."""

    model: ServedModel
    image: NDArray[np.uint8]


Step = ImageResult | ImageFailure | Costly | Fitted


@dataclass(slots=True)
class ImageTask:
    """One image of a request, and how far it has come.

    ``begin`` answers a plain file for a model on the CPU in one go. Where it gives Costly, the
    decoded file goes to ``fit``; where either gives Fitted, the model's output goes to ``finish``.
    With ``only_fits`` no model runs here, nothing is decided and no digest is taken. Each returns
    what is wrong with the file, so that no traceback keeps its pixels; DeviceLost, which is not of
    this file alone, is raised. Where an image is ``alone`` in work, it may have every core.
    """

    upload: Upload
    model: ServedModel | None
    repository: ModelRepository
    options: PredictionOptions
    max_pixels: int
    only_fits: bool = False
    sha256: str = ""
    times: StageTimes = field(default_factory=StageTimes)
    decoded: DecodedImage | None = None

    def begin(self, *, alone: bool) -> Step:
        """Read the file, and answer it where nothing else is needed for that."""
        started = time.perf_counter()
        limits = {"frame": self.options.frame, "max_pixels": self.max_pixels}
        try:
            data = self.upload.data()
            if not self.only_fits:
                self.sha256 = hashlib.sha256(data).hexdigest()
            cost = estimate_cost(data, **limits)
            if not cost.plain:
                self._spent(started)
                return Costly(cost)
            size = self.hint.preprocessing.size
            radiograph = decode(data, at_least=size, cost=cost, **limits)
            del data
            decoded = DecodedImage(radiograph, partial(preprocess, radiograph))
            return self._fit(decoded, started, alone=alone)
        except Exception as error:  # noqa: BLE001 - sorted out there
            return self.failure(error)

    def fit(self, decoded: DecodedImage, *, alone: bool) -> Step:
        """Go on with a file that was decoded elsewhere."""
        try:
            return self._fit(decoded, time.perf_counter(), alone=alone)
        except Exception as error:  # noqa: BLE001 - sorted out there
            return self.failure(error)

    def finish(self, output: ModelOutput) -> ImageResult | ImageFailure:
        """Decide on the model's output, of this image alone."""
        try:
            return self._finish(output)
        except Exception as error:  # noqa: BLE001 - sorted out there
            return self.failure(error)

    @property
    def hint(self) -> ModelManifest:
        """Of the model whose size a JPEG may be reduced to.

        A JPEG names no modality, so it is for the default model where no other is named; what
        names one is decoded in full.
        """
        return (self.model or self.repository.get()).manifest

    def specs(self) -> tuple[PreprocessingSpec, ...]:
        """The sizes that may be wanted of the file before its modality is known."""
        models = self.repository.all() if self.model is None else (self.model,)
        found = [model.manifest.preprocessing for model in models]
        if self.repository.segmenter is not None:
            found.append(self.repository.segmenter.manifest.preprocessing)
        return tuple(dict.fromkeys(found))

    def failure(self, error: Exception) -> ImageFailure:
        """What is wrong with the file.

        Raises:
            DeviceLost: It is not of this file alone.
        """
        if isinstance(error, DeviceLost):
            raise error.with_traceback(None)
        if not isinstance(error, ImageError | ServiceError):
            error = file_failed(error)
        # A model's cause goes to the log. Tracebacks hold the pixels, other causes quote the file.
        cause = error.__cause__ if isinstance(error, ServiceError) else None
        error.__cause__ = None if cause is None else cause.with_traceback(None)
        error.__context__ = None
        digest = self.sha256 or self.upload.sha256()
        self.decoded = None
        return ImageFailure(self.upload.name, digest, self.times, error.with_traceback(None))

    def _fit(self, decoded: DecodedImage, started: float, *, alone: bool) -> Step:
        facts = decoded.radiograph.dicom
        if self.model is None:
            modality = facts.modality if facts else None
            self.model = self.repository.for_modality(modality, self.options.version)
        check_suitable(facts, self.model.manifest)
        wanted = self.model.manifest.preprocessing
        fitted = decoded.fit(wanted)
        image = fitted[np.newaxis]
        if self.only_fits or self.model.batched:
            if not self.only_fits:
                # While it waits for the accelerator, it is kept only in the sizes that are needed.
                images = {spec: decoded.fit(spec) for spec in self.specs()}
                small = replace(decoded.radiograph, pixels=_NO_PIXELS)
                self.decoded = DecodedImage(small, images.__getitem__)
            self._spent(started)
            return Fitted(self.model, image)
        self.decoded = DecodedImage(
            decoded.radiograph, lambda spec: fitted if spec == wanted else decoded.fit(spec)
        )
        self._spent(started)
        started = time.perf_counter()
        session: InferenceSession = (alone and self.model.lone) or self.model.session
        output = session.run(image, activation_map=self.options.heatmap)
        self.times += StageTimes(inference_s=time.perf_counter() - started)
        return self._finish(output)

    def _finish(self, output: ModelOutput) -> ImageResult:
        started = time.perf_counter()
        model, decoded = self.model, self.decoded
        assert model is not None and decoded is not None, "it was fitted"  # noqa: S101, PT018
        image, manifest = replace(decoded.radiograph, pixels=_NO_PIXELS), model.manifest
        quality, drawn = None, self.options.heatmap
        if manifest.quality is not None and output.quality is not None:
            quality = judge(output.quality[0], image.rows, image.columns, manifest.quality)
        lungs, quality = look_for_lungs(
            self.repository.segmenter, manifest, decoded.fit, quality, drawn=drawn
        )
        out_of_distribution = None
        if manifest.out_of_distribution is not None and output.ood_scores is not None:
            score = float(output.ood_scores[0])
            out_of_distribution = OodResult(score=score, limit=manifest.out_of_distribution.limit)
        evidence = None
        if output.source_distances is not None:
            evidence = manifest.nearest_source(output.source_distances[0].tolist())
        decision = decide(
            manifest.labels,
            output.probabilities[0].tolist(),
            manifest.operating_points,
            quality=quality,
            out_of_distribution=out_of_distribution,
            evidence=evidence,
            evidenced=manifest.answers,
        )
        heatmap = _heatmap(manifest, output, decision, lungs, image) if drawn else None
        picture = draw_lungs(lungs, image) if drawn and lungs is not None else None
        self.decoded = None
        self._spent(started)
        return ImageResult(
            name=self.upload.name,
            sha256=self.sha256,
            times=self.times,
            model=model,
            image=image,
            probabilities=output.probabilities[0],
            decision=decision,
            quality=quality,
            out_of_distribution=out_of_distribution,
            evidence=evidence,
            heatmap=heatmap,
            lungs=picture,
        )

    def _spent(self, started: float) -> None:
        self.times += StageTimes(decode_s=time.perf_counter() - started)


def _heatmap(
    manifest: ModelManifest,
    output: ModelOutput,
    decision: Decision,
    lungs: LungMap | None,
    image: Radiograph,
) -> Heatmap | None:
    """Draw the decided finding, or the most probable one where the image is referred."""
    if output.activation_map is None:
        return None
    label = decision.label or manifest.labels[int(np.argmax(output.probabilities[0]))]
    index = manifest.labels.index(label)
    activation = np.ascontiguousarray(output.activation_map[0, ..., index])
    heatmap = draw_heatmap(activation, manifest.findings[index].activation_scale, label, image)
    if lungs is None:
        return heatmap
    mask = lung_mask(lungs, lungs.shape)
    return replace(heatmap, inside_lungs=share_inside(activation, mask))
