"""What a model says of a set of images, and what is answered by it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from contract.decision import decide
from contract.manifest import OOD_SCORE, SOURCE_DISTANCE, Finding
from contract.quality import assess
from contract.series import combine
from training.calibrate import Calibration

Counts = tuple[tuple[int, ...], ...]
REFERRED = -1


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model says of some images, beside what they are.

    ``logits`` and the calibrated ``probabilities`` are float32, shape (images, classes);
    ``classes`` is int, shape (images,); ``patients`` and ``sources`` have one name per image.
    ``doubts``, str, shape (images,), says why an image is referred whatever its probabilities:
    ``gated``, its quality is too low or it is out of distribution; else ``no_evidence``; or
    nothing. None where the gates were not asked.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    classes: NDArray[np.int64]
    patients: NDArray[np.str_]
    sources: NDArray[np.str_]
    doubts: NDArray[np.str_] | None = None

    def of(self, rows: NDArray[np.bool_ | np.int64]) -> "Predictions":
        """Those of some of the images."""
        parts = (getattr(self, field.name) for field in fields(self))
        return Predictions(*(None if part is None else part[rows] for part in parts))


def read_as_series(
    predictions: Predictions, findings: tuple[Finding, ...], rule: str
) -> Predictions:
    """Each patient's images as one, read by the rule of a series from its slices.

    Left out are patients with one image alone, or with images of several classes. Where most
    slices have a doubt, the series has the graver one.
    """
    patients, classes = predictions.patients, predictions.classes
    groups = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    groups = [g for g in groups if len(g) > 1 and len(np.unique(classes[g])) == 1]
    doubts = np.full(len(classes), "") if predictions.doubts is None else predictions.doubts
    described = [finding.model_dump(include={"label", "operating_point"}) for finding in findings]
    slices = [
        {
            "reasons": [doubt] if doubt else [],
            "findings": [
                {**finding, "probability": probability}
                for finding, probability in zip(described, row, strict=True)
            ],
        }
        for row, doubt in zip(predictions.probabilities.tolist(), doubts.tolist(), strict=True)
    ]
    read = [combine([slices[row] for row in g], {"series_rule": rule}) for g in groups]
    probabilities = [[f["probability"] for f in each["findings"]] for each in read]
    return replace(
        predictions.of(np.array([g[0] for g in groups], np.int64)),
        probabilities=np.array(probabilities, np.float32).reshape(-1, len(findings)),
        doubts=np.array(
            [
                next((d for d in ("gated", "no_evidence") if d in each["reasons"]), "")
                for each in read
            ],
            str,
        ),
    )


def doubts_of(
    images: NDArray[np.uint8], outputs: Mapping[str, NDArray[np.float32]], calibration: Calibration
) -> NDArray[np.str_] | None:
    """Say which images the service would refer before it looks at their probabilities, and why.

    The shape and size of the files are not at issue, and the lungs are not looked for. ``outputs``
    are those of the served graph for the images, uint8, shape (images, height, width, 1). The
    answer is None where the model has no gate.
    """
    quality, ood = calibration.quality, calibration.out_of_distribution
    if quality is None and ood is None:
        return None
    gated, lacks_evidence = np.zeros((2, len(images)), dtype=bool)
    if quality is not None:
        gated |= [not assess(image, *image.shape[:2], quality).accepted for image in images]
    if ood is not None:
        gated |= outputs[OOD_SCORE] > np.float32(ood.limit)
    if calibration.sources:
        # Its most probable finding was not shown in the source that an image is most like.
        distances, labels = outputs[SOURCE_DISTANCE], [f.label for f in calibration.findings]
        shown = np.array([np.isin(labels, found) for found in calibration.sources.values()])
        called = outputs["probabilities"].argmax(axis=1)
        lacks_evidence = ~shown[distances.argmin(axis=1), called] | (distances.min(axis=1) > 1)
    return np.where(gated, "gated", np.where(lacks_evidence, "no_evidence", ""))


def count_most_probable(predictions: Predictions) -> Counts:
    """The confusion matrix of the most probable class: rows are true, columns said."""
    probabilities = predictions.probabilities
    return _counts(predictions.classes, probabilities.argmax(axis=1), probabilities.shape[1])


def count_answers(predictions: Predictions, findings: tuple[Finding, ...]) -> Counts:
    """The confusion matrix of the answers: rows are true, columns answered, the last "refer"."""
    answers, refer = answered_outputs(predictions, findings), len(findings)
    said = np.where(answers == REFERRED, refer, answers)
    return _counts(predictions.classes, said, refer + 1)[:-1]


def answered_outputs(predictions: Predictions, findings: tuple[Finding, ...]) -> NDArray[np.int64]:
    """The number of the output that answers each image, ``REFERRED`` for none, shape (images,)."""
    labels = [finding.label for finding in findings]
    points = [finding.operating_point for finding in findings]
    said = [decide(labels, row, points).label for row in predictions.probabilities.tolist()]
    answers = np.array(
        [REFERRED if label is None else labels.index(label) for label in said], np.int64
    )
    if predictions.doubts is None:
        return answers
    return np.where(predictions.doubts == "", answers, REFERRED)


def _counts(truth: NDArray[np.int64], said: NDArray[np.int64], columns: int) -> Counts:
    return tuple(map(tuple, confusion_matrix(truth, said, labels=range(columns)).tolist()))
