"""A series read from its slices, in the forms of `POST /predict` and `GET /models`."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from contract.decision import decide

FIGURE: Final = "series_auroc"
"""The name of the metric that says how well the rule tells held-out series apart."""


def combine(slices: Sequence[Mapping[str, Any]], model: Mapping[str, Any]) -> dict[str, Any]:
    """Decide on a series as on an image.

    Each finding's probability is the mean of the slices', or by the rule ``max`` the largest. A
    slice of poor quality, or unlike all that the model knows, is left out, as what the model says
    of it means nothing. One without evidence counts: where a source shows one finding alone, the
    slices that speak against it have none, and without them the series would be called so. Where
    most slices have either doubt, the series is referred for their reasons.

    Args:
        slices: Results with status ``ok``, all by one model; at least one.
        model: Its description: ``series_rule``, without which it is ``mean``, and ``metrics``.

    Returns:
        ``decision``, ``reasons`` and ``findings`` as of an image; of all slices, where all are left
        out. ``left_out`` has their indices; ``rule``, its measured ``figure`` or None, and a
        ``sentence`` say how it came about.
    """
    rule = model.get("series_rule", "mean")
    pool, words = (max, "The largest") if rule == "max" else (fmean, "The mean")
    doubts = [{*each["reasons"]} - {"uncertain"} for each in slices]
    left_out = [number for number, why in enumerate(doubts) if why - {"no_evidence"}]
    read = [each for number, each in enumerate(slices) if number not in left_out]
    findings = [each["findings"] for each in read or slices]
    pooled = [
        round(pool([finding["probability"] for finding in same]), 7)
        for same in zip(*findings, strict=True)
    ]
    first = findings[0]
    labels, points = zip(*((each["label"], each["operating_point"]) for each in first), strict=True)
    decision = decide(labels, pooled, points)
    reasons = [*decision.reasons]
    if sum(map(bool, doubts)) * 2 > len(slices):
        reasons = sorted(set().union(*doubts))
    figure = next((each for each in model.get("metrics", ()) if each["name"] == FIGURE), None)
    sentence = f"{words} of the probabilities of {len(read or slices)} of {len(slices)} slices."
    measured = "Not measured on series."
    if figure is not None:
        interval = "{value:.2f} ({lower:.2f} to {upper:.2f})".format(**figure)
        measured = f"AUROC of held-out series: {interval}."
    return {
        "decision": "refer" if reasons else decision.label,
        "reasons": reasons,
        "findings": [
            {**each, "probability": probability, "present": present}
            for each, probability, present in zip(first, pooled, decision.present, strict=True)
        ],
        "left_out": left_out,
        "rule": rule,
        "figure": figure,
        "sentence": f"{sentence} {measured}",
    }
