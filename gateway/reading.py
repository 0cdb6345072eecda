"""What a model said of an image, or of a series, in the form of `POST /predict`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.series import combine
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
    """The slices, an instance and a frame each, by position if all have one, else by number."""
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


def of_series(readings: Sequence[Reading], slices: int, model: Mapping[str, Any]) -> Reading:
    """Read a series of so many slices from one or more of them, by the rule of their model.

    ``model`` is what a service says of it.
    """
    result = {"status": "ok", **combine([reading.result for reading in readings], model)}
    note = f"Read from {len(readings)} of {slices} slices, evenly spaced. {result['sentence']}"
    return Reading(readings[0].model, result, note)
