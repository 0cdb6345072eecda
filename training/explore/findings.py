"""What was found, in sentences that a person can act on."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import pandas as pd

from training.explore.composition import (
    classes_of_one_source,
    missing_cells,
    sources_of_one_class,
)
from training.explore.report import (
    Cluster,
    Finding,
    Member,
    Overlap,
    PropertyFacts,
    Telltale,
    Told,
    Unreadable,
)
from training.explore.shortcuts import is_shortcut

NAMED = 4


def shortcut_findings(properties: Sequence[PropertyFacts]) -> Iterator[Finding]:
    """Name every property that alone tells a class."""
    for each in properties:
        told = [one for one in each.told if is_shortcut(one)]
        if not told:
            continue
        end = "; the disease itself may change it" if each.follows_disease else ""
        two_classes = len(each.told) == 2
        what = _tells_two(each.told) if two_classes else "tells " + _several(map(_tells, told))
        yield Finding(kind="shortcut", sentence=f"The {each.name} alone {what}{end}.")


def telltale_findings(telltales: Sequence[Telltale]) -> Iterator[Finding]:
    """Name every value that leaves little doubt of the class."""
    for each in telltales:
        what = f"the {each.property} {each.value}" if each.value else f"a {each.property}"
        sentence = (
            f"Of the {each.images} images with {what}, {100 * each.of_label / each.images:.0f} % "
            f"are {each.label}; of all images, {100 * each.share_of_all:.0f} %."
        )
        yield Finding(kind="shortcut", sentence=sentence)


def source_findings(table: pd.DataFrame) -> Iterator[Finding]:
    """Name each class that comes from one source, and each source that holds one class.

    Args:
        table: Of a ``Survey``.
    """
    one_source, one_class = classes_of_one_source(table), sources_of_one_class(table)
    for label, source in one_source.items():
        alone = ", which holds nothing else" if one_class.get(source) == label else ""
        sentence = (
            f"All images of {label} come from one source, {source}{alone}: what a model learns of "
            f"{label} may be how {source} makes images."
        )
        yield Finding(kind="source", sentence=sentence)
    for label in sorted(set(one_class.values()) - set(one_source)):
        sources = [source for source, only in one_class.items() if only == label]
        who = "One source holds" if len(sources) == 1 else f"{len(sources)} sources hold"
        sentence = f"{who} nothing but {label}, {_some(sources)}: there the source tells the class."
        yield Finding(kind="source", sentence=sentence)


def overlap_findings(clusters: Sequence[Cluster], overlaps: Sequence[Overlap]) -> Iterator[Finding]:
    """Say what one official split knows of another."""
    end = "figures on one split then count what another has shown."
    for how, crossing in _by_exactness(one for one in clusters if len(one.splits) > 1):
        one, two = _pair(crossing[0], "split")
        example = f"such as {one.path} ({one.split}) and {two.path} ({two.split})"
        sentence = f"{_pictures(crossing)} in several splits {how}, {example}: {end}"
        yield Finding(kind="overlap", sentence=sentence)
    if overlaps:
        patients = "1 patient is" if len(overlaps) == 1 else f"{len(overlaps)} patients are"
        example = f"such as the one of {_several(overlaps[0].examples)}"
        sentence = f"{patients} in several splits, {example}: {end}"
        yield Finding(kind="overlap", sentence=sentence)


def copy_findings(clusters: Sequence[Cluster]) -> Iterator[Finding]:
    """Say which pictures stand in several sources."""
    for how, crossing in _by_exactness(one for one in clusters if len(one.sources) > 1):
        one, two = _pair(crossing[0], "source")
        example = f"such as {one.path} ({one.source}) and {two.path} ({two.source})"
        sentence = (
            f"{_pictures(crossing)} in several sources {how}, {example}: one of these sources "
            "is no independent test of the other."
        )
        yield Finding(kind="overlap", sentence=sentence)


def contradiction_findings(clusters: Sequence[Cluster]) -> Iterator[Finding]:
    """Say which pictures stand in several classes."""
    for how, crossing in _by_exactness(one for one in clusters if len(one.labels) > 1):
        one, two = _pair(crossing[0], "label")
        example = f"such as {one.path} ({one.label}) and {two.path} ({two.label})"
        sentence = (
            f"{_pictures(crossing)} in several classes {how}, {example}: look which is right."
        )
        yield Finding(kind="contradiction", sentence=sentence)


def gap_findings(table: pd.DataFrame) -> Iterator[Finding]:
    """Say which class has no image in which official split.

    Args:
        table: Of a ``Survey``.
    """
    for label, split in missing_cells(table):
        sentence = (
            f"The split {split} has no image of {label}: nothing can be measured of it there."
        )
        yield Finding(kind="gap", sentence=sentence)


def unreadable_findings(unreadable: Sequence[Unreadable], images: int) -> Iterator[Finding]:
    """Say how many images cannot be read, and of which classes.

    Args:
        unreadable: The images.
        images: How many there are, readable or not.
    """
    if unreadable:
        counts = pd.Series([one.label for one in unreadable]).value_counts()
        classes = _several(f"{count} of {label}" for label, count in counts.items())
        yield Finding(
            kind="unreadable",
            sentence=f"{len(unreadable)} of {images} images cannot be read ({classes}); "
            "they are left out.",
        )


def _tells(told: Told) -> str:
    return f"{told.label} with {_auroc(told)}"


def _tells_two(told: Sequence[Told]) -> str:
    """Of two classes the second is told as well as the first."""
    best = max(told, key=lambda one: one.lower)
    other = next(one for one in told if one is not best)
    return f"tells {best.label} from {other.label} with {_auroc(best)}"


def _auroc(told: Told) -> str:
    return f"AUROC {told.auroc:.2f} ({told.lower:.2f} to {told.upper:.2f})"


def _by_exactness(clusters: Iterable[Cluster]) -> Iterator[tuple[str, list[Cluster]]]:
    """The exact clusters, then the near ones, where there are any."""
    found = list(clusters)
    for exact, how in ((True, "byte for byte"), (False, "with small changes")):
        if some := [one for one in found if one.exact == exact]:
            yield how, some


def _pictures(clusters: Sequence[Cluster]) -> str:
    return "1 picture is" if len(clusters) == 1 else f"{len(clusters)} pictures are"


def _pair(cluster: Cluster, field: Literal["label", "split", "source"]) -> tuple[Member, Member]:
    """The first image, and the first one that differs from it in a field."""
    first, *others = cluster.members
    return first, next(one for one in others if getattr(one, field) != getattr(first, field))


def _some(names: Sequence[str]) -> str:
    """The first names; of the others how many they are."""
    rest = len(names) - NAMED
    return _several([*names[:NAMED], f"{rest} more"] if rest > 0 else names)


def _several(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
