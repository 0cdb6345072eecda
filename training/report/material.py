"""What the honesty checks look at: the evaluated images, and the model that answers on them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from numpy.typing import NDArray

from contract.findings import Label
from contract.manifest import Finding, Metric, OutOfDistribution
from contract.preprocessing import PreprocessingSpec
from contract.quality import QualityLimits
from training.measure import measure_whole
from training.metrics import Floats, Weights, estimate, patient_bootstrap, whole
from training.ood_report import Detection
from training.predictions import Predictions
from training.severity import SeverityCorrelation

Images = NDArray[np.uint8]
Rows = NDArray[np.int64]
Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class LungMasks:
    """Lung masks of some of the images: bool, shape (masked images, height, width).

    ``rows`` says which images they are of.
    """

    rows: Rows
    masks: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Material:
    """The images of one evaluation, all that is known of them, and the model.

    ``images`` is uint8, shape (images, height, width, 1); ``predictions``, ``groups`` and ``paths``
    are of the same images. ``predict`` gives the outputs of the service for such images;
    ``features`` their pooled features, float32, shape (images, features). ``lungs`` finds the masks
    when they are asked for. ``dataset`` is what the figures are said to be of. ``spec`` is what
    the model takes. ``quality`` and ``familiar`` are the limits of an answer; None where the model
    has none. ``quality_plot`` is where the quality gate is drawn.

    What not every evaluation has is None there: ``network``, the training form; ``validation``,
    which gives the probabilities and classes of the validation images; ``detections``, which
    compares ways of telling the unfamiliar; ``severity``, which holds a finding against experts.
    """

    images: Images
    predictions: Predictions
    groups: NDArray[np.str_]
    paths: NDArray[np.str_]
    findings: tuple[Finding, ...]
    positive: Label | None
    dataset: str
    seed: int
    predict: Callable[[Images], Outputs]
    features: Callable[[Images], NDArray[np.float32]]
    lungs: Callable[[], LungMasks]
    spec: PreprocessingSpec
    quality: QualityLimits | None = None
    familiar: OutOfDistribution | None = None
    quality_plot: Path | None = None
    network: keras.Model | None = None
    validation: Callable[[], tuple[NDArray[np.float32], NDArray[np.int64]]] | None = None
    detections: Callable[[], tuple[Detection, ...]] | None = None
    severity: Callable[[], tuple[Label, tuple[SeverityCorrelation, ...]]] | None = None

    @property
    def headline(self) -> Literal["auroc", "macro_auroc"]:
        """The name of the figure that stands for all."""
        return "macro_auroc" if self.positive is None else "auroc"

    def sample(self, limit: int) -> Rows:
        """Rows of at most so many images; each class of each source keeps its share."""
        strata = np.char.add(self.predictions.sources, self.predictions.classes.astype(np.str_))
        random = np.random.default_rng(self.seed)
        place = np.empty(len(strata))
        for stratum in np.unique(strata):
            members = random.permutation(np.flatnonzero(strata == stratum))
            place[members] = (np.arange(len(members)) + 0.5) / len(members)
        return np.sort(np.argsort(place, kind="stable")[:limit])

    def answers_to(self, images: Images, rows: Rows) -> Predictions:
        """What the model says of changed images.

        Args:
            images: uint8, shape (rows, height, width, 1).
            rows: Which images they were.
        """
        outputs = self.predict(images)
        return replace(
            self.predictions.of(rows),
            logits=outputs["logits"],
            probabilities=outputs["probabilities"],
            gated=None,
        )

    def figures(self, predictions: Predictions, prefix: str) -> tuple[Metric, ...]:
        """The AUROC and the accuracy of some predictions, with ``prefix_`` before their names.

        The AUROC is left out where the images have one class only.
        """
        measured = measure_whole(
            predictions, self.findings, self.positive, dataset=self.dataset, seed=self.seed
        )
        return tuple(
            metric.model_copy(update={"name": f"{prefix}_{metric.name}"})
            for name in (self.headline, "accuracy")
            for metric in measured
            if metric.name == name
        )

    def estimated(
        self, name: str, rows: Rows, figure: Callable[[Weights], Floats], label: Label | None = None
    ) -> Metric:
        """A figure of some images with its interval.

        Args:
            name: Of the figure.
            rows: The images that it is of.
            figure: Gives it for weightings of those images.
            label: The finding that it is of.
        """
        drawn = patient_bootstrap(self.predictions.patients[rows], self.seed)
        found = estimate(figure(whole(len(rows))), figure(drawn))
        return found.metric(self.dataset, name, len(rows), label)
