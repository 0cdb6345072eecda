"""``pneumo-train explore``: look at a data set before training on it."""

from pathlib import Path

from rich.console import Console

from training.atomic import atomic_path, write_text
from training.datasets.base import Dataset
from training.explore.composition import (
    count_images,
    describe_classes,
    list_unreadable,
    patient_overlaps,
)
from training.explore.duplicates import find_duplicates
from training.explore.findings import (
    contradiction_findings,
    copy_findings,
    gap_findings,
    overlap_findings,
    shortcut_findings,
    source_findings,
    telltale_findings,
    unreadable_findings,
)
from training.explore.gallery import draw_gallery
from training.explore.page import render_page
from training.explore.report import Exploration
from training.explore.shortcuts import LIMIT, find_telltales, measure_properties
from training.explore.store import open_store
from training.explore.survey import Survey, take_survey

STORE = "measurements.sqlite"


def explore(dataset: Dataset, folder: Path, console: Console) -> Exploration:
    """Measure every image of a data set, and write down what would give its classes away.

    The folder gets ``index.html``, a page that holds its pictures; ``exploration.json``;
    ``survey.csv`` with the facts of each readable image; the pictures as PNG; and the measurements
    themselves, with which another run carries on.

    Args:
        dataset: All of its official splits, so that they can be compared.
        folder: Where to write.
        console: For progress.

    Returns:
        What stands in ``exploration.json``.

    Raises:
        DataError: No image can be read.
        WriteFailed: The disk is full, or the folder cannot be written.
        WorkdirIncomplete: The measurements of an earlier run are damaged.
    """
    with open_store(folder / STORE) as store:
        survey = take_survey(dataset, store, console)
        with atomic_path(folder / "survey.csv") as draft:
            survey.table.drop(columns="key").to_csv(draft, index=False)
        console.print("comparing classes, sources and splits")
        exploration = _explored(dataset, survey)
        gallery = draw_gallery(
            survey, exploration.properties, exploration.clusters, folder / "pictures"
        )
        write_text(folder / "exploration.json", exploration.model_dump_json(indent=1))
        write_text(folder / "index.html", render_page(exploration, gallery))
    return exploration


def _explored(dataset: Dataset, survey: Survey) -> Exploration:
    properties = measure_properties(survey.table)
    telltales = find_telltales(survey.table)
    clusters = find_duplicates(survey)
    overlaps = patient_overlaps(survey.table)
    unreadable = list_unreadable(survey.unreadable)
    images = len(dataset.table)
    return Exploration(
        name=dataset.name,
        licence=dataset.licence,
        images=images,
        findings=(
            *shortcut_findings(properties),
            *telltale_findings(telltales),
            *source_findings(survey.table),
            *contradiction_findings(clusters),
            *overlap_findings(clusters, overlaps),
            *copy_findings(clusters),
            *gap_findings(survey.table),
            *unreadable_findings(unreadable, images),
        ),
        counts=count_images(survey),
        classes=describe_classes(survey.table),
        shortcut_limit=LIMIT,
        properties=properties,
        telltales=telltales,
        clusters=clusters,
        overlaps=overlaps,
        unreadable=unreadable,
    )
