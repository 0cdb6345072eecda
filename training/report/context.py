"""What the checks of a report look at: the evaluated images, and the model that answers on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.findings import Label
from contract.manifest import Finding, Metric, OutOfDistribution
from contract.preprocessing import PreprocessingSpec
from contract.quality import QualityLimits
from training.figures import Curve
from training.lungs import Segment
from training.metrics import Floats, Weights, auroc, estimate, macro_auroc, patient_bootstrap, ratio
from training.predictions import Predictions

Images = NDArray[np.uint8]
Rows = NDArray[np.int64]
Masks = NDArray[np.bool_]
Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check has found.

    ``summary`` is a sentence or two for the reader of the page. ``metrics`` go into the evaluation
    and on the model's card. ``panels`` are curves over what an axis names.
    """

    title: str
    summary: str
    metrics: tuple[Metric, ...] = ()
    panels: tuple[tuple[str, Sequence[Curve]], ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """The images of one evaluation, all that is known of them, and the model.

    ``images`` is uint8, shape (images, height, width, 1); ``predictions``, ``groups`` and ``paths``
    are of the same images. ``predict`` gives the outputs of the service for such images,
    ``features`` their pooled features, float32, shape (images, features), ``segment`` their lungs,
    if anything finds them. ``dataset`` names the images in every figure. ``quality`` and ``ood``
    are the limits of an answer. ``ood_folder`` has a folder for each kind that is to be refused.
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
    spec: PreprocessingSpec
    segment: Segment | None = None
    quality: QualityLimits | None = None
    ood: OutOfDistribution | None = None
    ood_folder: Path | None = None

    def sample(self, limit: int) -> Rows:
        """Rows of at most ``limit`` images; each class of each source keeps its share."""
        strata = np.char.add(self.predictions.sources, self.predictions.classes.astype(np.str_))
        random = np.random.default_rng(self.seed)
        place = np.empty(len(strata))
        for stratum in np.unique(strata):
            members = random.permutation(np.flatnonzero(strata == stratum))
            place[members] = (np.arange(len(members)) + 0.5) / len(members)
        return np.sort(np.argsort(place, kind="stable")[:limit])

    def auroc(self, images: Images, rows: Rows, prefix: str) -> tuple[Metric, ...]:
        """The main figure of changed images, whose truth is that of the original ``rows``."""
        truth = self.predictions.classes[rows]
        scores = self.predict(images)["probabilities"].astype(np.float64)
        labels = [finding.label for finding in self.findings]
        return self.separation(prefix, rows, scores, truth, labels)

    def separation(
        self, prefix: str, rows: Rows, scores: Floats, truth: Rows, labels: Sequence[Label]
    ) -> tuple[Metric, ...]:
        """The main figure of probabilities, shape (rows, labels), whose true labels are ``truth``.

        None where there are fewer than two classes, or none of them is the positive one.
        """
        if len(np.unique(truth)) < 2 or self.positive not in {None, *labels}:
            return ()
        name, figure = f"{prefix}_macro_auroc", partial(macro_auroc, scores, truth)
        if self.positive is not None:
            number = labels.index(self.positive)
            name, figure = f"{prefix}_auroc", partial(auroc, scores[:, number], truth == number)
        return (self.estimated(name, rows, figure),)

    def estimated(
        self, name: str, rows: Rows, figure: Callable[[Weights], Floats], label: Label | None = None
    ) -> Metric:
        """A figure of some images with its interval from a bootstrap over patients.

        ``figure`` gives it for weightings of those images, shape (weightings, rows).
        """
        found = estimate(figure(patient_bootstrap(self.predictions.patients[rows], self.seed)))
        return Metric(
            dataset=self.dataset, name=name, images=len(rows), label=label, **found._asdict()
        )

    def mean(
        self, name: str, rows: Rows, values: NDArray[Any], label: Label | None = None
    ) -> Metric:
        """The mean of what was measured of each image, as ``estimated``; shape (rows,)."""
        return self.estimated(name, rows, lambda w: ratio(w @ values, w.sum(axis=1)), label)
