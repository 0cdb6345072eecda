"""What a model said of an image, or of a series, in the form of `POST /predict`."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from contract.decision import decide
from gateway.tables import Instance

MAX_SLICES = 32


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer: ``model`` and ``result`` are those of the body of `POST /predict`.

    ``note`` says in words how it came about, where that is not plain.
    """

    model: dict[str, Any]
    result: dict[str, Any]
    note: str | None = None

    @property
    def digest(self) -> str:
        """The digest of the model's file."""
        return str(self.model["digest"])


def evenly_spaced(count: int, at_most: int = MAX_SLICES) -> list[int]:
    """Indices into a series, from the first slice to the last, at equal distances."""
    if count <= at_most:
        return list(range(count))
    return [round(i * (count - 1) / (at_most - 1)) for i in range(at_most)]


def in_order(instances: Sequence[Instance]) -> list[tuple[Instance, int]]:
    """The slices of a series from one end to the other: an instance and a frame each.

    By their positions, where all have one; else by Instance Number; else by UID.
    """
    facts = {instance.sop_uid: instance.facts or {} for instance in instances}
    by = "position" if all(f["position"] is not None for f in facts.values()) else "number"

    def place(instance: Instance) -> tuple[Any, ...]:
        value = facts[instance.sop_uid][by]
        return (value is None, value or 0, instance.sop_uid)

    return [
        (instance, frame)
        for instance in sorted(instances, key=place)
        for frame in range(1, facts[instance.sop_uid]["frames"] + 1)
    ]


def combine(readings: Sequence[Reading], slices: int, rule: str = "mean") -> Reading:
    """Read a series from its slices.

    Each finding's probability is the mean of the slices', or with ``max`` the largest. The series
    is referred where most of its slices are for their quality or for being unlike the training
    images; else it is decided as of an image.

    Args:
        readings: Of the slices that were read, all by one model; at least one.
        slices: How many the series has.
        rule: ``mean`` or ``max``.
    """
    results = [reading.result for reading in readings]
    pool = max if rule == "max" else fmean
    by_label = [*zip(*(result["findings"] for result in results), strict=True)]
    pooled = [pool([finding["probability"] for finding in same]) for same in by_label]
    first = results[0]["findings"]
    labels, points = zip(*((each["label"], each["operating_point"]) for each in first), strict=True)
    decision = decide(labels, pooled, points)
    reasons = _doubts(results) or [*decision.reasons]
    result = {
        "status": "ok",
        "decision": "refer" if reasons else decision.label,
        "reasons": reasons,
        "findings": [
            {**each, "probability": probability, "present": present}
            for each, probability, present in zip(first, pooled, decision.present, strict=True)
        ],
    }
    note = f"Read from {len(readings)} of {slices} slices, evenly spaced; {rule} of probabilities."
    return Reading(readings[0].model, result, note)


def _doubts(results: Sequence[dict[str, Any]]) -> list[str]:
    """Reasons other than the probabilities, each given for more than half of the slices."""
    given = [reason for r in results for reason in r["reasons"] if reason != "uncertain"]
    return sorted({reason for reason in given if given.count(reason) * 2 > len(results)})
