"""The shortcut audit: what predicts the label here without a look at the lungs."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from commissioning.bootstrap import Interval, draw, interval, macro_auroc
from commissioning.labels import ATTRIBUTES, LabelledImages
from commissioning.measure import Measured

_FOLDS = 5


def audit_shortcuts(labelled: LabelledImages, measured: Measured) -> Mapping[str, Interval]:
    """How well each thing that is no finding tells the findings apart, as an AUROC.

    Source: DeGrave et al. 2021; Zech et al. 2018.

    Returns:
        For "border pixels", "image size" and each attribute of the table that varies: the macro
        AUROC of a logistic regression on patients kept out. 0.5 is chance.
    """
    clues = {
        "border pixels": pd.DataFrame(measured.border),
        "image size": pd.DataFrame(np.log(np.maximum(measured.shape, 1))),
    }
    for name in ATTRIBUTES:
        values = labelled.table[name]
        if values.nunique() > 1:
            numbers = pd.to_numeric(values, errors="coerce").to_frame()
            numeric = np.isfinite(numbers).all(axis=None)
            clues[name] = numbers if numeric else pd.get_dummies(values)
    model = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
    )
    weights, found = draw(labelled.patients), {}
    for name, clue in clues.items():
        probabilities = cross_val_predict(
            model,
            clue.to_numpy(np.float64),
            labelled.classes,
            groups=labelled.patients,
            cv=StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0),
            method="predict_proba",
        )
        found[name] = interval(macro_auroc(labelled.classes, probabilities, weights))
    return found
