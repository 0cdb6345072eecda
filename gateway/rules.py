"""Which rule reads an instance, or why none does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Literal

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID

from gateway.config import Rule
from gateway.errors import Unacceptable
from gateway.headers import facts_of, is_own_result, is_uid, read_header
from gateway.tables import Instance

MAX_FRAMES = 32
MAX_SLICES = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Routed:
    """What became of an instance: ``rule`` reads it, or ``state`` and ``reason`` say why none."""

    state: Literal["routed", "ignored", "parked"]
    reason: str | None = None
    rule: Rule | None = None
    series_uid: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def route(rules: Sequence[Rule], file: Path, instance: Instance) -> Routed:
    """Ask the rules, in their order, about an instance; an empty SOP UID is not compared."""
    try:
        header = read_header(file, routing_only=True)
        return _route(rules, header, instance)
    except Unacceptable as error:
        return Routed("parked", str(error))
    except Exception as error:
        # One object that nobody foresaw must not stop the others.
        log.exception("unforeseen", source=instance.source)
        return Routed("parked", f"unforeseen: {type(error).__name__}")


def _route(rules: Sequence[Rule], header: Dataset, instance: Instance) -> Routed:
    facts = facts_of(header)
    if reason := _objection(header, instance.sop_uid, facts):
        return Routed("parked", reason)
    outcome = partial(Routed, series_uid=str(header.SeriesInstanceUID), facts=facts)
    if is_own_result(header):
        return outcome("ignored", "It is a result of a gateway.")
    if "Rows" not in header:
        return outcome("ignored", "It holds no image.")
    rule, reason = choose(rules, {**facts, "calling": instance.calling, "called": instance.called})
    if rule is None:
        return outcome("ignored", reason)
    if rule.unit == "image" and facts["frames"] > MAX_FRAMES:
        return outcome("parked", f"It has more than {MAX_FRAMES} frames: read them as a series.")
    return outcome("routed", rule=rule)


def choose(rules: Sequence[Rule], facts: dict[str, Any]) -> tuple[Rule | None, str]:
    """Find the first rule that holds, or what each of them misses."""
    misses = []
    for rule in rules:
        missed = _missed(rule, facts)
        if missed is None:
            return rule, ""
        misses.append(f"{rule.name} ({missed})")
    return None, f"No rule takes it: {', '.join(misses) or 'there is none'}."


def _objection(header: Dataset, sop_uid: str, facts: dict[str, Any]) -> str | None:
    """Why an object cannot be reported on, whatever the rules."""
    found = str(header.get("SOPInstanceUID") or "")
    if not found or sop_uid not in ("", found):
        return "Its SOP Instance UID is not the one under which it was sent."
    if not all(is_uid(uid) for uid in (facts["study_uid"], str(header.get("SeriesInstanceUID")))):
        return "It names no study or no series by a UID."
    if facts["frames"] > MAX_SLICES:
        return f"It claims more than {MAX_SLICES} frames."
    return None


def _missed(rule: Rule, facts: dict[str, Any]) -> str | None:
    """The first condition of a rule that does not hold."""
    uid = UID(facts["sop_class"])
    several = {"sop_class": [str(uid), uid.name.upper()], "image_type": facts["image_type"] or [""]}
    for name in ("modality", "sop_class", "body_part", "view", "image_type", "calling", "called"):
        if not _holds(getattr(rule, name), several.get(name) or [facts[name].upper()]):
            return name
    return None


def _holds(wanted: Sequence[str], found: Sequence[str]) -> bool:
    excluded = [pattern[1:] for pattern in wanted if pattern.startswith("!")]
    taken = [pattern for pattern in wanted if not pattern.startswith("!")]
    return not _match(excluded, found) and (not taken or _match(taken, found))


def _match(patterns: Sequence[str], found: Sequence[str]) -> bool:
    return any(fnmatchcase(value, pattern.upper()) for value in found for pattern in patterns)
