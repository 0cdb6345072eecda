"""``pneumo-train explore``: look at a data set before training on it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich.console import Console

from training.atomic import atomic_path, write_text
from training.datasets.base import Dataset
from training.html import render, table_of
from training.lab.pictures import (
    draw_differences,
    draw_grays_and_sizes,
    draw_means,
    draw_properties,
    draw_samples,
)
from training.lab.shortcuts import (
    LIMIT,
    TINTED_SHARE,
    ClassSignal,
    Property,
    ShortcutValue,
    find_shortcut_values,
    measure_properties,
)
from training.lab.survey import Survey, take_survey
from training.near_duplicates import difference_hashes, joined_groups, near_duplicate_pairs

# As far as the recipes that ship with the project let two near-duplicates differ, of 256 bits.
NEAR_DUPLICATE_BITS = 12
# An image without any contrast has an empty hash; it would pass for a duplicate of every other.
LEAST_CONTRAST = 2.0
SEED = 20261120
SAMPLES = 24
# The largest sources have a row of mean images of their own.
SOURCES = 6
DRAWN_CLUSTERS = DRAWN_MEMBERS = 8
# Of long lists the page shows the beginning; exploration.json has all of it.
LISTED = 50
NAMED = 4
COUNTED = ["Class", "Official split", "Source", "Images", "Patients", "Unreadable"]
TALLIED = {"Format": "format", "Colour mode": "mode", "Bits": "bits"}
SPREAD = {
    "Width": "columns",
    "Height": "rows",
    "Kilobytes": "kilobytes",
    "JPEG quality": "jpeg_quality",
    "Mean gray": "mean_gray",
    "Border gray": "border_gray",
}
MEMBER = ["path", "label", "split", "source"]
LEAK = "figures on one split then count what another has shown."

Kind = Literal["unreadable", "overlap", "contradiction", "source", "gap", "shortcut"]
Field = Literal["label", "split", "source"]
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that whoever trains on these images has to know, as a sentence."""

    kind: Kind
    sentence: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images that are the same picture: byte for byte where ``exact``, else nearly.

    Each member has its ``path``, ``label``, ``split`` and ``source``.
    """

    exact: bool
    members: tuple[Record, ...]

    def values(self, field: Field) -> int:
        """How many classes, splits or sources it stands in."""
        return len({member[field] for member in self.members})


@dataclass(frozen=True, slots=True)
class Exploration:
    """exploration.json: all that was found.

    ``counts`` are by class, split and source; ``unreadable`` has ``reason`` beside what a member
    of a cluster has.
    """

    name: str
    licence: str
    images: int
    findings: tuple[Finding, ...]
    counts: tuple[Record, ...]
    properties: tuple[Property, ...]
    shortcut_values: tuple[ShortcutValue, ...]
    clusters: tuple[Cluster, ...]
    unreadable: tuple[Record, ...]


def explore(dataset: Dataset, folder: Path, console: Console) -> Exploration:
    """Measure every image of a data set, and write down what would give its classes away.

    The folder gets ``index.html``, a page that holds its pictures; ``exploration.json``;
    ``survey.csv`` with the facts of each readable image; and ``measurements``, with which another
    run carries on.

    Args:
        dataset: All of its official splits, so that they can be compared.
        folder: Where to write.
        console: For progress.

    Raises:
        DataError: No image can be read.
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    survey = take_survey(dataset, folder / "measurements", console)
    with atomic_path(folder / "survey.csv") as draft:
        survey.table.to_csv(draft, index=False)
    console.print("comparing classes, sources and splits")
    exploration = _explored(dataset, survey)
    write_text(folder / "exploration.json", json.dumps(asdict(exploration), indent=1))
    write_text(folder / "index.html", _page(exploration, survey))
    return exploration


def find_duplicates(survey: Survey) -> tuple[Cluster, ...]:
    """Find the files that are equal byte for byte, and those that show nearly the same picture.

    A cluster of near-duplicates holds pairs of pairs too, and the copies of its members. Clusters
    that stand in several classes, splits or sources come first.
    """
    files = survey.table["sha256"]
    shown = survey.table[(survey.table["contrast"] >= LEAST_CONTRAST) & ~files.duplicated()]
    hashes = difference_hashes(survey.thumbnails[..., np.newaxis], shown.index.to_numpy())
    pairs = near_duplicate_pairs(hashes, NEAR_DUPLICATE_BITS)
    names = dict(zip(shown["sha256"], joined_groups(shown["sha256"].tolist(), pairs), strict=True))
    pictures = files.map(lambda file: names.get(file, file))
    found = [
        Cluster(exact, tuple(images[MEMBER].to_dict("records")))
        for exact, name in ((True, files), (False, pictures))
        for _, images in survey.table[name.duplicated(keep=False)].groupby(name)
        if exact or images["sha256"].nunique() > 1
    ]
    fields: tuple[Field, ...] = ("label", "split", "source")
    return tuple(sorted(found, key=lambda one: [-one.values(field) for field in fields]))


def _explored(dataset: Dataset, survey: Survey) -> Exploration:
    table, unreadable = survey.table, survey.unreadable
    properties, values = measure_properties(table), find_shortcut_values(table)
    clusters = find_duplicates(survey)
    return Exploration(
        name=dataset.name,
        licence=dataset.licence,
        images=len(dataset.table),
        findings=(
            *_shortcut_findings(properties, values),
            *_source_findings(table),
            *_duplicate_findings(clusters),
            *_patient_findings(table),
            *_gap_findings(table),
            *_unreadable_findings(unreadable, len(dataset.table)),
        ),
        counts=tuple(_counts(survey).to_dict("records")),
        properties=properties,
        shortcut_values=values,
        clusters=clusters,
        unreadable=tuple(unreadable[[*MEMBER, "reason"]].to_dict("records")),
    )


def _counts(survey: Survey) -> pd.DataFrame:
    """Images, known patients and unreadable images of each class, official split and source."""
    cell = ["label", "split", "source"]
    # Nobody knows whose the images without a patient are.
    read = survey.table.assign(patient=survey.table["patient"].replace("", None)).groupby(cell)
    cells = pd.DataFrame(
        {
            "images": read.size(),
            "patients": read["patient"].nunique(),
            "unreadable": survey.unreadable.groupby(cell).size(),
        }
    )
    return cells.fillna(0).astype(int).reset_index()


def _shortcut_findings(
    properties: Sequence[Property], values: Sequence[ShortcutValue]
) -> Iterator[Finding]:
    for each in properties:
        told = [signal for signal in each.signals if signal.is_shortcut]
        if not told:
            continue
        end = "; the disease itself may change it" if each.follows_disease else ""
        what = _list(f"{signal.label} with {_auroc(signal)}" for signal in told)
        if len(each.signals) == 2:
            # Of two classes the second is told as well as the first.
            best, other = sorted(each.signals, key=lambda signal: -signal.lower)
            what = f"{best.label} from {other.label} with {_auroc(best)}"
        yield Finding("shortcut", f"The {each.name} alone tells {what}{end}.")
    for value in values:
        named = f"the {value.property} {value.value}" if value.value else f"a {value.property}"
        share, expected = 100 * value.of_label / value.images, 100 * value.share_of_all
        yield Finding(
            "shortcut",
            f"Of the {value.images} images with {named}, {share:.0f} % are {value.label}; "
            f"of all images, {expected:.0f} %.",
        )


def _source_findings(table: pd.DataFrame) -> Iterator[Finding]:
    if table["source"].nunique() < 2:
        return
    sources = table.groupby("label")["source"].unique()
    labels = table.groupby("source")["label"].unique()
    for label, found in sources[sources.map(len) == 1].items():
        alone = len(labels[found[0]]) == 1 and len(sources) > 1
        yield Finding(
            "source",
            f"All images of {label} come from one source, {found[0]}"
            f"{', which holds nothing else' if alone else ''}: what a model learns of {label} may "
            f"be how {found[0]} makes images.",
        )
    for label in sources.index[sources.map(len) > 1] if len(sources) > 1 else ():
        only = [source for source, found in labels.items() if list(found) == [label]]
        if only:
            who = "One source holds" if len(only) == 1 else f"{len(only)} sources hold"
            named = only if len(only) <= NAMED else [*only[:NAMED], f"{len(only) - NAMED} more"]
            yield Finding(
                "source",
                f"{who} nothing but {label}, {_list(named)}: there the source tells the class.",
            )


def _duplicate_findings(clusters: Sequence[Cluster]) -> Iterator[Finding]:
    """The clusters in several classes, splits and sources, exact ones and near ones apart."""
    kinds: tuple[tuple[Field, str, Kind, str], ...] = (
        ("label", "classes", "contradiction", "look which is right."),
        ("split", "splits", "overlap", LEAK),
        (
            "source",
            "sources",
            "overlap",
            "one of these sources is no independent test of the other.",
        ),
    )
    for field, plural, kind, end in kinds:
        for exact, how in ((True, "byte for byte"), (False, "with small changes")):
            crossing = [c for c in clusters if c.exact == exact and c.values(field) > 1]
            if not crossing:
                continue
            first, *others = crossing[0].members
            second = next(one for one in others if one[field] != first[field])
            example = " and ".join(f"{one['path']} ({one[field]})" for one in (first, second))
            pictures = "1 picture is" if len(crossing) == 1 else f"{len(crossing)} pictures are"
            yield Finding(kind, f"{pictures} in several {plural} {how}, such as {example}: {end}")


def _patient_findings(table: pd.DataFrame) -> Iterator[Finding]:
    """Patients in several splits, named by an image of each and not by name."""
    named = table[table["patient"] != ""]
    crossing = named[named.groupby("patient")["split"].transform("nunique") > 1]
    if not crossing.empty:
        count = crossing["patient"].nunique()
        patients = "1 patient is" if count == 1 else f"{count} patients are"
        first = crossing[crossing["patient"] == crossing["patient"].min()]
        example = _list(first.groupby("split")["path"].first())
        yield Finding(
            "overlap", f"{patients} in several splits, such as the one of {example}: {LEAK}"
        )


def _gap_findings(table: pd.DataFrame) -> Iterator[Finding]:
    counts = pd.crosstab(table["label"], table["split"]).stack()
    for label, split in counts.index[counts == 0]:
        what = f"The split {split} has no image of {label}"
        yield Finding("gap", f"{what}: nothing can be measured of it there.")


def _unreadable_findings(unreadable: pd.DataFrame, images: int) -> Iterator[Finding]:
    if len(unreadable):
        counts = unreadable["label"].value_counts()
        classes = _list(f"{count} of {label}" for label, count in counts.items())
        yield Finding(
            "unreadable",
            f"{len(unreadable)} of {images} images cannot be read ({classes}); they are left out.",
        )


def _page(exploration: Exploration, survey: Survey) -> str:
    table, properties = survey.table, exploration.properties
    labels = sorted(set(table["label"]))
    return render(
        "lab/explore.html.j2",
        exploration=exploration,
        limit=LIMIT,
        counts=table_of(_counts(survey).set_axis(COUNTED, axis=1)),
        shortcuts=table_of(_property_table(properties)) if properties else None,
        properties=draw_properties(properties) if properties else None,
        means=draw_means(labels, dict(_mean_rows(survey, labels))),
        differences=_differences(survey, labels) if len(labels) > 1 else None,
        samples=list(_samples(survey, labels)),
        grays=draw_grays_and_sizes(table, survey.thumbnails),
        files=table_of(_files(table)),
        clusters=[
            (_drawn(survey, one), one, one.members[:DRAWN_MEMBERS])
            for one in exploration.clusters[:DRAWN_CLUSTERS]
        ],
        unreadable=exploration.unreadable[:LISTED],
    )


def _property_table(properties: Sequence[Property]) -> pd.DataFrame:
    rows = [
        {
            "Property": f"{each.name} *" if each.follows_disease else each.name,
            **{f"AUROC of {one.label}": _auroc(one)[len("AUROC ") :] for one in each.signals},
            "Balanced accuracy": f"{each.balanced_accuracy:.2f}",
        }
        for each in properties
    ]
    return pd.DataFrame(rows)


def _mean_rows(survey: Survey, labels: Sequence[str]) -> Iterator[tuple[str, list[np.ndarray]]]:
    of, source = survey.table["label"], survey.table["source"]
    yield "all images", [survey.thumbnails[of == label] for label in labels]
    largest = source.value_counts().index[:SOURCES]
    for name in largest if source.nunique() > 1 else ():
        yield str(name), [survey.thumbnails[(of == label) & (source == name)] for label in labels]


def _differences(survey: Survey, labels: Sequence[str]) -> str:
    of = survey.table["label"]
    means = [
        survey.thumbnails[of == label].mean(axis=0) - survey.thumbnails[of != label].mean(axis=0)
        for label in labels
    ]
    return draw_differences(labels, means)


def _samples(survey: Survey, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, label in enumerate(labels):
        rows = survey.table.index[survey.table["label"] == label].to_numpy()
        random = np.random.default_rng([SEED, number])
        drawn = np.sort(random.choice(rows, min(SAMPLES, len(rows)), replace=False))
        shows = f"{label}: {len(drawn)} of {len(rows):,} images, drawn at random."
        yield draw_samples(survey.thumbnails[drawn]), shows


def _drawn(survey: Survey, cluster: Cluster) -> str:
    row_of = {path: row for row, path in enumerate(survey.table["path"])}
    rows = [row_of[member["path"]] for member in cluster.members[:DRAWN_MEMBERS]]
    return draw_samples(survey.thumbnails[rows])


def _files(table: pd.DataFrame) -> pd.DataFrame:
    """How the files of each class are stored."""
    of = table.assign(kilobytes=table["bytes"] / 1000).groupby("label")
    facts = {name: of[column].agg(_tally) for name, column in TALLIED.items()}
    facts |= {name: of[column].agg(_spread) for name, column in SPREAD.items()}
    facts["Tinted"] = of["coloured"].agg(lambda shares: f"{(shares > TINTED_SHARE).mean():.1%}")
    return pd.DataFrame(facts).reset_index(names="Class")


def _tally(values: pd.Series) -> str:
    """How often each value occurs; a value that is the only one needs no number."""
    counts = values.value_counts()
    if len(counts) == 1:
        return str(counts.index[0])
    return ", ".join(f"{value} {count:,}" for value, count in counts.items())


def _spread(values: pd.Series) -> str:
    """The median, and the smallest and largest value where they differ."""
    if values.isna().all():
        return "none"
    lowest, median, highest = values.min(), values.median(), values.max()
    return f"{median:,.0f}" + (f" ({lowest:,.0f} to {highest:,.0f})" if lowest != highest else "")


def _auroc(signal: ClassSignal) -> str:
    return f"AUROC {signal.auroc:.2f} ({signal.lower:.2f} to {signal.upper:.2f})"


def _list(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
