"""The trial: every candidate on patients outside all of its choices, and the verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedGroupKFold

from commissioning.candidates import Fitted, Shipped, fit
from commissioning.domain import fit_domain, shares
from commissioning.labels import LabelledImages
from commissioning.measure import Measured
from contract.decision import decide

OUTER_FOLDS = 5
REDRAWS = 1000
MARGIN = 0.02
"""A simpler candidate is taken whose AUROC is surely not lower than the best one's by more."""
FEWEST_ANSWERED = 30
"""The patients who must have got an answer before an accuracy says anything."""
RANKS_BADLY = 0.35
RANKS_AT_ALL = 0.65

Verdict = Literal["fit to answer here", "refer only", "not fit"]
Array = NDArray[np.float64]
Interval = tuple[float, float, float]
"""Value, lower and upper end of the 95 % interval from a bootstrap over patients."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a candidate said of patients that it had not met.

    ``probabilities`` float64 (n, classes). ``called`` int64 (n,): the class, or -1 for a referral.
    """

    name: str
    probabilities: Array
    called: NDArray[np.int64]
    auroc: Interval
    accuracy: Interval
    answered: float
    answered_patients: int

    def reaches(self, auroc: float, accuracy: float) -> bool:
        """Whether both lower ends reach these floors, with enough patients answered."""
        enough = self.answered_patients >= FEWEST_ANSWERED
        return enough and self.auroc[1] >= auroc and self.accuracy[1] >= accuracy


@dataclass(frozen=True, slots=True)
class Trial:
    """All candidates, the one that was taken, fitted on every image, and the verdict.

    ``judged`` is what the verdict rests on: in each fold the candidate that the other folds would
    have taken, so that the choice has no say in its own figures.
    """

    results: Mapping[str, Result]
    judged: Result
    chosen: str
    fitted: Fitted
    verdict: Verdict
    why: str
    swapped: bool


def run_trial(
    labelled: LabelledImages,
    measured: Measured,
    shipped: Shipped,
    floors: tuple[float, float],
    progress: Callable[[str], None],
) -> Trial:
    """Cross-validate by patient, choose, fit and judge.

    Inside each outer fold a candidate chooses its penalty, its calibration and its operating
    points by inner folds, and the candidate itself is chosen by the other folds. So no figure of
    ``judged`` comes from a patient who had a say in it.

    Args:
        labelled: The images, none twice, at least ``FEWEST_OF_A_FINDING`` of each finding.
        measured: What is known of each.
        shipped: The model.
        floors: The lower ends of AUROC and of the accuracy among the answered that are asked for.
        progress: Is told which candidate is tried.
    """
    columns = [shipped.manifest.labels.index(name) for name in labelled.findings]
    results = {}
    for name in shipped.candidates:
        progress(name)
        results[name] = _outer(name, labelled, measured, shipped, columns, floors[1])
    everything = np.arange(len(labelled.classes))
    chosen = _simplest(results, labelled, everything)
    judged = _as_chosen(results, labelled)
    fitted = fit(chosen, measured, labelled.classes, labelled.patients, columns, shipped, floors[1])
    as_shipped = results["as shipped"].auroc
    swapped = as_shipped[0] < RANKS_BADLY and as_shipped[2] < 0.5
    verdict, why = _judge(judged, floors, swapped=swapped)
    return Trial(results, judged, chosen, fitted, verdict, why, swapped)


def interval(
    statistic: Callable[[NDArray[np.int64]], float], patients: NDArray[np.str_]
) -> Interval:
    """A statistic of image indices with its interval, drawing patients with replacement.

    A statistic that is not a number on a draw is left out of the interval.

    Source: Efron and Tibshirani 1993, percentile interval.
    """
    n = len(patients)
    draws = np.array([statistic(index) for index in _redraws(patients)])
    draws = draws[np.isfinite(draws)]
    lower, upper = np.percentile(draws, [2.5, 97.5]) if len(draws) else (np.nan, np.nan)
    return statistic(np.arange(n)), float(lower), float(upper)


def macro_auroc(classes: NDArray[np.int64], probabilities: Array) -> float:
    """The mean over the classes of one against the rest; not a number where a class lacks.

    Source: Mann and Whitney 1947, the rank sum.
    """
    found = []
    for column in range(probabilities.shape[1]):
        truth = classes == column
        if truth.all() or not truth.any():
            return float("nan")
        ranks = rankdata(probabilities[:, column])
        positives = int(truth.sum())
        above = ranks[truth].sum() - positives * (positives + 1) / 2
        found.append(above / (positives * (len(truth) - positives)))
    return float(np.mean(found))


def _outer(
    name: str,
    labelled: LabelledImages,
    measured: Measured,
    shipped: Shipped,
    columns: list[int],
    floor: float,
) -> Result:
    classes = labelled.classes
    probabilities = np.zeros((len(classes), len(columns)))
    called = np.full(len(classes), -1)
    for train, test in _outer_folds(labelled):
        some, seen = labelled.take(train), measured.take(train)
        fitted = fit(name, seen, some.classes, some.patients, columns, shipped, floor)
        probabilities[test] = softmax(fitted.logits(measured.take(test)), axis=1)
        called[test] = [_call(labelled, fitted, row) for row in probabilities[test].tolist()]
        domain = fit_domain(seen, some.patients, shipped.manifest)
        called[test[shares(domain, measured.take(test)) > 1]] = -1
    called[~measured.good] = -1
    return _result(name, labelled, probabilities, called)


def _call(labelled: LabelledImages, fitted: Fitted, probabilities: Sequence[float]) -> int:
    """The finding that the service would call, -1 where it would refer."""
    label = decide(labelled.findings, probabilities, fitted.operating_points).label
    return -1 if label is None else labelled.findings.index(label)


def _as_chosen(results: Mapping[str, Result], labelled: LabelledImages) -> Result:
    """In each fold what the candidate says that the other folds would have taken."""
    first = next(iter(results.values()))
    probabilities, called = np.zeros_like(first.probabilities), np.zeros_like(first.called)
    for train, test in _outer_folds(labelled):
        taken = results[_simplest(results, labelled, train)]
        probabilities[test], called[test] = taken.probabilities[test], taken.called[test]
    return _result("as chosen", labelled, probabilities, called)


def _outer_folds(
    labelled: LabelledImages,
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    folds = StratifiedGroupKFold(OUTER_FOLDS, shuffle=True, random_state=1)
    return list(folds.split(labelled.classes, labelled.classes, labelled.patients))


def _result(
    name: str, labelled: LabelledImages, probabilities: Array, called: NDArray[np.int64]
) -> Result:
    classes, patients = labelled.classes, labelled.patients
    right = called == classes

    def accuracy(index: NDArray[np.int64]) -> float:
        answered = index[called[index] >= 0]
        return float(right[answered].mean()) if len(answered) else float("nan")

    return Result(
        name,
        probabilities,
        called,
        interval(lambda i: macro_auroc(classes[i], probabilities[i]), patients),
        interval(accuracy, patients),
        float((called >= 0).mean()),
        len(set(patients[called >= 0].tolist())),
    )


def _simplest(
    results: Mapping[str, Result], labelled: LabelledImages, index: NDArray[np.int64]
) -> str:
    """The simplest candidate that is surely not worse than the best by more than the margin."""
    classes, patients = labelled.classes[index], labelled.patients[index]
    said = {name: result.probabilities[index] for name, result in results.items()}
    best = max(said, key=lambda name: macro_auroc(classes, said[name]))
    for name, mine in said.items():

        def difference(i: NDArray[np.int64], mine: Array = mine) -> float:
            return macro_auroc(classes[i], mine[i]) - macro_auroc(classes[i], said[best][i])

        if name == best or interval(difference, patients)[1] >= -MARGIN:
            return name
    return best  # pragma: no cover - the best is in the loop


def _judge(result: Result, floors: tuple[float, float], *, swapped: bool) -> tuple[Verdict, str]:
    auroc, accuracy = result.auroc, result.accuracy
    if swapped:
        return "not fit", (
            "The shipped model ranks these images upside down: the labels are probably swapped. "
            "Check which value stands for which finding."
        )
    said = (
        f"AUROC {auroc[0]:.2f} ({auroc[1]:.2f} to {auroc[2]:.2f}), {accuracy[0]:.0%} "
        f"({accuracy[1]:.0%} to {accuracy[2]:.0%}) of the {result.answered:.0%} answered are right"
    )
    if result.answered_patients < FEWEST_ANSWERED:
        said += f", only {result.answered_patients} patients were answered"
    if result.reaches(*floors):
        return "fit to answer here", f"{said}; both lower ends reach the floors."
    if auroc[1] >= RANKS_AT_ALL:
        return "refer only", (
            f"{said}; floors are {floors[0]:.2f} and {floors[1]:.0%}. The model ranks this site's "
            "images, but not surely enough to answer."
        )
    return "not fit", f"{said}; floors are {floors[0]:.2f} and {floors[1]:.0%}."


def _redraws(patients: NDArray[np.str_]) -> list[NDArray[np.int64]]:
    random = np.random.default_rng(0)
    names, group = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(group == i) for i in range(len(names))]
    return [
        np.concatenate([members[i] for i in random.integers(len(names), size=len(names))])
        for _ in range(REDRAWS)
    ]
