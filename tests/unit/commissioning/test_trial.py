from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest

from commissioning.bootstrap import auroc_interval, draw, interval
from commissioning.report import _subgroups
from commissioning.trial import Result, Trial, _judge
from training.metrics import Estimate


@pytest.mark.parametrize(
    ("figures", "ends"),
    # Clopper and Pearson's ends for 30 of 30 and for none of 30.
    [([1.0], (0.884, 1.0)), ([0.0], (0.0, 0.116)), ([0.5, 0.4, 0.6], (0.4, 0.6))],
)
def test_an_end_is_no_surer_than_so_many_patients_can_be(
    figures: list[float], ends: tuple[float, float]
) -> None:
    found = interval(np.array([figures[0], *figures * 50]), patients=30)

    assert found.value == figures[0]
    np.testing.assert_allclose((found.lower, found.upper), ends, atol=0.01)


def test_a_perfect_auroc_is_as_sure_as_the_rarest_finding_allows() -> None:
    classes = np.array([0] * 40 + [1] * 20)
    probabilities = np.stack([1.0 - classes, 1.0 * classes], axis=1)
    # Two images of each.
    patients = np.array([f"p{i // 2}" for i in range(60)])

    found = auroc_interval(classes, probabilities, patients, draw(patients))

    np.testing.assert_allclose(found, (1, 0.025 ** (1 / 10), 1))


def test_a_verdict_says_that_none_was_answered() -> None:
    nothing = Estimate(np.nan, np.nan, np.nan)
    auroc = Estimate(0.9, 0.85, 0.95)
    result = Result("any", np.zeros((0, 2)), np.zeros(0, np.int64), auroc, nothing, 0.0, 0)

    verdict, why = _judge(result, auroc, (0.8, 0.85))

    assert verdict == "refer only"
    assert "AUROC 0.90 (0.85 to 0.95), none was answered; floors are 0.80 and 85%." in why


def test_subgroups_of_age_are_bands() -> None:
    ages = pd.Series([20.0, 39.5] * 10 + [40.0] * 20 + [np.nan] * 20 + [5.0])
    patients = np.arange(len(ages)).astype(str)
    classes = np.arange(len(ages)) % 2
    table = pd.DataFrame({"age": ages, "view": "PA", "sex": "", "device": ""})
    labelled = SimpleNamespace(table=table, classes=classes, patients=patients)
    judged = SimpleNamespace(probabilities=np.eye(2)[classes])

    rows = _subgroups(cast("Trial", SimpleNamespace(labelled=labelled, judged=judged)))

    assert [(name, n) for name, n, _ in rows] == [
        ("view PA", 61),
        ("age 20 to 39", 20),
        ("age 40 to 59", 20),
    ]
