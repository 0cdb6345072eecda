"""From a survey to its pictures: which images are averaged, sampled and set side by side."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.explore.means import Mean, MeanImages, mean_images
from training.explore.pictures import (
    draw_differences,
    draw_histograms,
    draw_means,
    draw_properties,
    draw_samples,
    draw_sizes,
)
from training.explore.report import Cluster, PropertyFacts
from training.explore.survey import Survey

SEED = 20261120
SAMPLES = 24
# The largest sources have a row of mean images of their own.
SOURCES = 6
CLUSTERS = 8
CLUSTER_MEMBERS = 8


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file and what it shows, in a few words."""

    path: Path
    shows: str


@dataclass(frozen=True, slots=True)
class ClusterPicture:
    """A cluster of duplicates and its first images, side by side."""

    cluster: Cluster
    picture: Picture


@dataclass(frozen=True, slots=True)
class Gallery:
    """Every picture of the page."""

    means: Picture
    differences: Picture | None
    samples: tuple[Picture, ...]
    histograms: Picture
    sizes: Picture
    properties: Picture | None
    clusters: tuple[ClusterPicture, ...]


def draw_gallery(
    survey: Survey,
    properties: Sequence[PropertyFacts],
    clusters: Sequence[Cluster],
    folder: Path,
) -> Gallery:
    """Draw every picture.

    Args:
        survey: What was measured.
        properties: What tells the class; there may be none.
        clusters: Duplicates; the first ones are drawn.
        folder: Where the PNG files are put.

    Raises:
        WriteFailed: A file cannot be written.
        WorkdirIncomplete: The store is damaged.
    """
    for stale in (*folder.glob("samples-*.png"), *folder.glob("duplicates-*.png")):
        stale.unlink()
    labels = sorted(set(survey.table["label"]))
    means = mean_images(survey)
    return Gallery(
        means=_means(means, labels, folder),
        differences=_differences(means, labels, folder) if len(labels) > 1 else None,
        samples=tuple(_samples(survey, labels, folder)),
        histograms=_histograms(survey, labels, folder),
        sizes=_sizes(survey, labels, folder),
        properties=_properties(properties, folder) if properties else None,
        clusters=tuple(_clusters(survey, clusters[:CLUSTERS], folder)),
    )


def _means(means: MeanImages, labels: Sequence[str], folder: Path) -> Picture:
    sources = means.largest_sources(SOURCES)
    rows = {"all images": [_of(means, label) for label in labels]}
    if len(sources) > 1:
        rows |= {source: [_of(means, label, source) for label in labels] for source in sources}
    path = folder / "means.png"
    draw_means(path, labels, rows)
    return Picture(path, "The mean image of each class, and of each class in the largest sources.")


def _of(means: MeanImages, label: str, source: str | None = None) -> Mean | None:
    return means.mean(lambda cell: cell.label == label and source in {None, cell.source})


def _differences(means: MeanImages, labels: Sequence[str], folder: Path) -> Picture:
    path = folder / "differences.png"
    differences = [_of(means, label) - _of_others(means, label) for label in labels]
    draw_differences(path, labels, differences)
    return Picture(path, "The mean image of each class less that of all other classes.")


def _of_others(means: MeanImages, label: str) -> Mean:
    return means.mean(lambda cell: cell.label != label)


def _samples(survey: Survey, labels: Sequence[str], folder: Path) -> Iterator[Picture]:
    for number, label in enumerate(labels):
        rows = survey.table.index[survey.table["label"] == label].to_numpy()
        random = np.random.default_rng([SEED, number])
        drawn = np.sort(random.choice(rows, min(SAMPLES, len(rows)), replace=False))
        path = folder / f"samples-{re.sub('[^a-z0-9]+', '-', label.lower())}-{number}.png"
        draw_samples(path, survey.thumbnails(drawn))
        yield Picture(path, f"{label}: {len(drawn)} of {len(rows):,} images, drawn at random.")


def _histograms(survey: Survey, labels: Sequence[str], folder: Path) -> Picture:
    path = folder / "histograms.png"
    of = survey.table["label"].to_numpy()
    draw_histograms(path, {name: survey.histograms[of == name].mean(axis=0) for name in labels})
    return Picture(path, "The mean intensity histogram of each class.")


def _sizes(survey: Survey, labels: Sequence[str], folder: Path) -> Picture:
    path = folder / "sizes.png"
    sizes = survey.table.set_index("label")[["columns", "rows"]]
    draw_sizes(path, {label: sizes.loc[[label]].to_numpy() for label in labels})
    return Picture(path, "Width and height of the images of each class.")


def _properties(properties: Sequence[PropertyFacts], folder: Path) -> Picture:
    path = folder / "shortcuts.png"
    draw_properties(path, properties)
    return Picture(path, "How well each property alone tells each class.")


def _clusters(
    survey: Survey, clusters: Sequence[Cluster], folder: Path
) -> Iterator[ClusterPicture]:
    row_of = {path: row for row, path in enumerate(survey.table["path"])}
    for number, cluster in enumerate(clusters, start=1):
        rows = [row_of[member.path] for member in cluster.members[:CLUSTER_MEMBERS]]
        path = folder / f"duplicates-{number}.png"
        draw_samples(path, survey.thumbnails(rows))
        shows = "The same file" if cluster.exact else "Nearly the same picture"
        yield ClusterPicture(cluster, Picture(path, f"{shows}, {len(cluster.members)} times."))
