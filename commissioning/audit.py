"""The shortcut audit: what predicts the label here without a look at the lungs."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from commissioning.labels import ATTRIBUTES, LabelledImages
from commissioning.measure import Measured
from commissioning.trial import Interval, interval, macro_auroc

_FOLDS = 5


def audit_shortcuts(labelled: LabelledImages, measured: Measured) -> Mapping[str, Interval]:
    """How well each thing that is no finding tells the findings apart, as an AUROC.

    Source: DeGrave et al. 2021; Zech et al. 2018.

    Returns:
        For "border pixels", "image size" and each attribute of the table that varies: the macro
        AUROC of a logistic regression on patients kept out. 0.5 is chance.
    """
    clues: dict[str, NDArray[np.generic]] = {
        "border pixels": measured.border,
        "image size": np.log(np.maximum(measured.shape, 1)),
    }
    for name in ATTRIBUTES:
        values = np.array(labelled.attributes[name])
        if len(set(values.tolist())) > 1:
            clues[name] = values[:, np.newaxis]
    return {name: _predicts(clue, labelled) for name, clue in clues.items()}


def _predicts(clue: NDArray[np.generic], labelled: LabelledImages) -> Interval:
    numbers = _as_numbers(clue)
    prepare = StandardScaler() if numbers is not None else OneHotEncoder(handle_unknown="ignore")
    model = make_pipeline(
        prepare, LogisticRegression(class_weight="balanced", solver="newton-cholesky")
    )
    probabilities = cross_val_predict(
        model,
        clue if numbers is None else numbers,
        labelled.classes,
        groups=labelled.patients,
        cv=StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0),
        method="predict_proba",
    )
    classes = labelled.classes
    return interval(lambda i: macro_auroc(classes[i], probabilities[i]), labelled.patients)


def _as_numbers(clue: NDArray[np.generic]) -> NDArray[np.float64] | None:
    try:
        return clue.astype(np.float64)
    except ValueError:
        return None
