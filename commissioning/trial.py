"""The trial: every candidate on patients outside all of its choices, shortcuts, the verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from commissioning.bootstrap import auroc_interval, draw, interval
from commissioning.candidates import AS_SHIPPED, Fitted, Shipped, fit
from commissioning.domain import fit_domain, shares
from commissioning.labels import ATTRIBUTES, LabelledImages
from commissioning.measure import Measured
from contract.decision import decide
from contract.manifest import ModelManifest
from training.metrics import Estimate, macro_auroc, ratio

OUTER_FOLDS = 5
MARGIN = 0.02
"""A simpler candidate is taken whose AUROC is surely not lower than the best one's by more."""
FEWEST_ANSWERED = 30
"""The patients who must have got an answer before an accuracy says anything."""
RANKS_BADLY = 0.35
RANKS_AT_ALL = 0.65

Verdict = Literal["fit to answer here", "refer only", "not fit"]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Result:
    """What a candidate said of patients that it had not met.

    ``probabilities`` float64 (n, classes). ``called`` int64 (n,): the class, or -1 for a referral.
    """

    name: str
    probabilities: Array
    called: NDArray[np.int64]
    auroc: Estimate
    accuracy: Estimate
    answered: float
    answered_patients: int


@dataclass(frozen=True, slots=True)
class Trial:
    """The images, all candidates, the one that was taken, fitted on every image, and the verdict.

    ``judged`` is what the verdict rests on: in each fold the candidate that the other folds would
    have taken, so that the choice has no say in its own figures. ``ood_shares`` float64 (n,) is
    each image's score of the unfamiliar where the site's place was fitted without it; 1 is the
    limit. ``shortcuts`` are how well border pixels, image size and each attribute of the table that
    varies tell the findings apart alone: the macro AUROC of a logistic regression on patients kept
    out, where 0.5 is chance.
    """

    labelled: LabelledImages
    measured: Measured
    manifest: ModelManifest
    results: Mapping[str, Result]
    judged: Result
    fitted: Fitted
    ood_shares: Array
    shortcuts: Mapping[str, Estimate]
    verdict: Verdict
    why: str


def run_trial(
    labelled: LabelledImages,
    measured: Measured,
    shipped: Shipped,
    floors: tuple[float, float],
    console: Console,
) -> Trial:
    """Cross-validate by patient, choose, fit and judge.

    Inside each outer fold a candidate chooses its penalty and its operating points by inner folds,
    and the candidate itself is chosen by the other folds. So no figure of ``judged`` comes from a
    patient who had a say in it.

    No image of ``labelled`` may be a copy, and each finding needs ``FEWEST_OF_A_FINDING``.
    ``floors`` are those of the lower ends of AUROC and of the accuracy among the answered.
    """
    classes, patients, manifest = labelled.classes, labelled.patients, shipped.manifest
    splitter = StratifiedGroupKFold(OUTER_FOLDS, shuffle=True, random_state=1)
    folds = list(splitter.split(classes, classes, patients))
    ood_shares = np.zeros(len(classes))
    for train, test in folds:
        domain = fit_domain(measured.take(train), patients[train], manifest)
        ood_shares[test] = shares(domain, measured.take(test))
    answerable = measured.good & (ood_shares <= 1)
    weights = draw(patients)
    results = {}
    for name in shipped.candidates:
        console.print(f"trying: {name}")
        probabilities = np.zeros((len(classes), len(labelled.findings)))
        called = np.full(len(classes), -1)
        for train, test in folds:
            fitted = fit(
                name, measured.take(train), classes[train], patients[train], shipped, floors[1]
            )
            probabilities[test] = fitted.probabilities(measured.take(test))
            called[test] = _calls(labelled, fitted, probabilities[test])
        called[~answerable] = -1
        results[name] = _result(name, labelled, probabilities, called, weights)
    probabilities, called = np.zeros_like(probabilities), np.zeros_like(called)
    for train, test in folds:
        taken = results[_simplest(results, labelled, train)]
        probabilities[test], called[test] = taken.probabilities[test], taken.called[test]
    judged = _result("as chosen in each fold", labelled, probabilities, called, weights)
    verdict, why = _judge(judged, results[AS_SHIPPED].auroc, floors)
    chosen = _simplest(results, labelled, np.arange(len(classes)))
    fitted = fit(chosen, measured, classes, patients, shipped, floors[1])
    clues = _shortcuts(labelled, measured, weights)
    return Trial(
        labelled, measured, manifest, results, judged, fitted, ood_shares, clues, verdict, why
    )


def _shortcuts(
    labelled: LabelledImages, measured: Measured, weights: Array
) -> Mapping[str, Estimate]:
    """The AUROC of what is no finding. Source: DeGrave et al. 2021; Zech et al. 2018."""
    clues = {
        "border pixels": pd.DataFrame(measured.border),
        "image size": pd.DataFrame(np.log(np.maximum(measured.shape, 1))),
    }
    for name in ATTRIBUTES:
        values = labelled.table[name]
        if values.nunique(dropna=False) > 1:
            clues[name] = _years(values) if name == "age" else pd.get_dummies(values)
    regression = LogisticRegression(class_weight="balanced", max_iter=1000)
    found = {}
    for name, clue in clues.items():
        probabilities = cross_val_predict(
            make_pipeline(StandardScaler(), regression),
            clue.to_numpy(np.float64),
            labelled.classes,
            groups=labelled.patients,
            cv=StratifiedGroupKFold(OUTER_FOLDS, shuffle=True, random_state=0),
            method="predict_proba",
        )
        found[name] = auroc_interval(labelled.classes, probabilities, labelled.patients, weights)
    return found


def _years(ages: "pd.Series[float]") -> pd.DataFrame:
    # That an age is missing may tell the findings apart as well.
    return pd.DataFrame({"years": ages.fillna(ages.median()), "missing": ages.isna()})


def _calls(labelled: LabelledImages, fitted: Fitted, probabilities: Array) -> list[int]:
    """The finding that the service would call for each image, -1 where it would refer."""
    names, points = labelled.findings, fitted.operating_points
    labels = (decide(names, row, points).label for row in probabilities.tolist())
    return [-1 if label is None else names.index(label) for label in labels]


def _result(
    name: str,
    labelled: LabelledImages,
    probabilities: Array,
    called: NDArray[np.int64],
    weights: Array,
) -> Result:
    classes, answered = labelled.classes, called >= 0
    right = ratio(weights @ (answered & (called == classes)), weights @ answered)
    patients = len(np.unique(labelled.patients[answered]))
    return Result(
        name,
        probabilities,
        called,
        auroc_interval(classes, probabilities, labelled.patients, weights),
        interval(right, patients),
        float(answered.mean()),
        patients,
    )


def _simplest(
    results: Mapping[str, Result], labelled: LabelledImages, index: NDArray[np.int64]
) -> str:
    """The simplest candidate that is surely not worse than the best by more than the margin."""
    classes, weights = labelled.classes[index], draw(labelled.patients[index])
    aurocs = {
        name: macro_auroc(result.probabilities[index], classes, weights)
        for name, result in results.items()
    }
    best = max(aurocs.values(), key=lambda values: float(values[0]))
    return next(n for n, own in aurocs.items() if interval(own - best)[1] >= -MARGIN)


def _judge(
    result: Result, as_shipped: Estimate, floors: tuple[float, float]
) -> tuple[Verdict, str]:
    auroc, accuracy = result.auroc, result.accuracy
    if as_shipped[0] < RANKS_BADLY and as_shipped[2] < 0.5:
        return "not fit", (
            "The shipped model ranks these images upside down: the labels are probably swapped. "
            "Check which value stands for which finding."
        )
    said = f"AUROC {auroc[0]:.2f} ({auroc[1]:.2f} to {auroc[2]:.2f}), "
    if result.answered_patients:
        right = f"{accuracy[0]:.0%} ({accuracy[1]:.0%} to {accuracy[2]:.0%})"
        said += f"{right} of the {result.answered:.0%} answered are right"
    else:
        said += "none was answered"
    enough = result.answered_patients >= FEWEST_ANSWERED
    if result.answered_patients and not enough:
        said += f", only {result.answered_patients} patients were answered"
    if enough and auroc.lower >= floors[0] and accuracy.lower >= floors[1]:
        return "fit to answer here", f"{said}; both lower ends reach the floors."
    said += f"; floors are {floors[0]:.2f} and {floors[1]:.0%}."
    if auroc[1] >= RANKS_AT_ALL:
        return "refer only", (
            f"{said} The model ranks this site's images, but not surely enough to answer."
        )
    return "not fit", said
