"""``pneumo-train explore``: look at a data set before training on it.

How well do simple properties, which show no anatomy, give the class away by themselves? Which
pictures are there twice, and which patients on both sides of a split?
"""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from contract.pixels import resize, to_uint8
from contract.radiograph import Radiograph, decode
from training.atomic import atomic_path, write_text
from training.datasets import Dataset
from training.errors import DataError
from training.html import embedded, render
from training.metrics import auroc, estimate, patient_bootstrap, ratio
from training.source import read_all
from training.splits import joined_groups, near_duplicate_pairs

SIDE = 96
SEED = 20261120
# As far as the recipes that ship with the project let two near-duplicates differ, of 256 bits.
NEAR_DUPLICATE_BITS = 12
# An image without any contrast has an empty hash; it would pass for a duplicate of every other.
LEAST_CONTRAST = 2.0
# Markers, tubes and collimation lie in this share of each side.
BORDER_SHARE = 0.05
# A property counts as a shortcut where even the lower end of its interval lies above.
LIMIT = 0.60
FOLDS = 5
RESAMPLES = 400
SAMPLES = 7
LISTED = 50

# By name the columns that carry a property.
PROPERTIES: dict[str, tuple[str, ...]] = {
    "source": ("source",),
    "image size": ("rows", "columns"),
    "file format": ("format", "mode", "bits"),
    "colour tint": ("tint",),
    "file size": ("bytes", "bytes_per_pixel"),
    "mean gray": ("mean_gray",),
    "contrast": ("contrast",),
    "border brightness": ("border_gray",),
}
FOLLOWS_DISEASE = frozenset({"file size", "mean gray", "contrast"})
"""What the disease itself may change."""

Facts = dict[str, Any]
Thumbnails = NDArray[np.uint8]
"""Shape (images, 96, 96)."""


def explore(dataset: Dataset, folder: Path, console: Console) -> list[str]:
    """Measure every image of a data set, and say in sentences what would give its classes away.

    The data set has all of its official splits, so that they can be compared. The folder gets
    ``index.html``, a page that holds its pictures, and ``survey.csv`` with the facts of each
    readable image.
    """
    table, thumbnails, unreadable = take_survey(dataset, console)
    with atomic_path(folder / "survey.csv") as draft:
        table.to_csv(draft, index=False)
    properties = measure_properties(table)
    pictured = table.assign(picture=_joined_copies(table, thumbnails))
    copies = pictured[pictured["picture"].duplicated(keep=False)].sort_values("picture")
    findings = [
        *_shortcut_findings(properties),
        *_source_findings(table),
        *_crossing_findings(pictured),
    ]
    if len(unreadable):
        lost = unreadable["label"].value_counts().items()
        of = ", ".join(f"{count} of {label}" for label, count in lost)
        findings.append(f"{len(unreadable)} of {len(dataset.table)} images cannot be read: {of}.")
    cells = ["label", "split", "source"]
    counts = {
        "images": table.groupby(cells).size(),
        "patients": table.groupby(cells)["patient"].nunique(),
        "unreadable": unreadable.groupby(cells).size(),
    }
    page = render(
        "lab/explore.html.j2",
        dataset=dataset,
        findings=findings,
        counts=pd.DataFrame(counts).fillna(0).astype(int).reset_index(),
        properties=properties.round(2),
        limit=LIMIT,
        pictures=embedded(_draw_classes(table, thumbnails)),
        copies=copies[["path", "label", "split", "source"]].head(LISTED),
        unreadable=unreadable[["path", "label", "split", "reason"]].head(LISTED),
        listed=LISTED,
    )
    write_text(folder / "index.html", page)
    return findings


def take_survey(
    dataset: Dataset, console: Console
) -> tuple[pd.DataFrame, Thumbnails, pd.DataFrame]:
    """Read and measure every image of a data set; ``DataError`` where none can be read.

    A row per readable image, numbered from 0, has the columns of ``ImageRow`` and of ``measure``;
    beside them are their thumbnails, and a row with the ``reason`` per image that cannot be read.
    """
    paths = list(dataset.table["path"])
    found = list(read_all(paths, lambda path: measure((dataset.root / path).read_bytes()), console))
    readable = np.array([not isinstance(one, str) for one in found], np.bool_)
    if not readable.any():
        example = next(iter(found), "it lists none")
        raise DataError(f"No image of the data set can be read. The first: {example}")
    facts, thumbnails = zip(*(one for one in found if not isinstance(one, str)), strict=True)
    return (
        dataset.table[readable].reset_index(drop=True).assign(**pd.DataFrame(facts)),
        np.stack(thumbnails),
        dataset.table[~readable].assign(reason=[one for one in found if isinstance(one, str)]),
    )


def measure(data: bytes) -> tuple[Facts, NDArray[np.uint8]]:
    """Measure one image file, which is decoded in full; ``ImageError`` where it cannot be read.

    With the facts comes a thumbnail: uint8, shape (96, 96), stretched to a square as models see it.
    ``mode`` is Pillow's name of the colour mode, or a DICOM's photometric interpretation; ``bits``
    counts those of the decoded gray; ``tint`` is by how many gray levels the channels differ on
    average. The grays and ``contrast``, their standard deviation, are from 0 to 255.
    """
    radiograph = decode(data)
    pixels = to_uint8(radiograph.pixels)
    mode, tint = _colour(data, radiograph)
    border = np.ones(pixels.shape, bool)
    rows, columns = (max(1, round(BORDER_SHARE * side)) for side in pixels.shape)
    border[rows:-rows, columns:-columns] = False
    facts = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "bytes_per_pixel": len(data) / pixels.size,
        "format": radiograph.format,
        "mode": mode,
        "tint": tint,
        "bits": 8 * radiograph.pixels.itemsize,
        "rows": radiograph.rows,
        "columns": radiograph.columns,
        "mean_gray": float(pixels.mean()),
        "contrast": float(pixels.std()),
        "border_gray": float(pixels[border].mean()),
    }
    return facts, resize(pixels, (SIDE, SIDE))


def _colour(data: bytes, radiograph: Radiograph) -> tuple[str, float]:
    """The colour mode, and the tint, which ``decode`` loses: a model may see nothing but gray."""
    if radiograph.dicom is not None:
        return radiograph.dicom.photometric_interpretation, 0.0
    with Image.open(io.BytesIO(data), formats=[radiograph.format]) as image:
        mode = image.mode
        if mode in {"1", "L", "LA", "La", "I", "F"} or mode.startswith("I;16"):
            return mode, 0.0
        colour = image.convert("RGBA")
    # What is transparent may have any colour, so it is laid over black, as in ``decode``. A small
    # copy keeps a tint, and is free of the noise that JPEG puts on single pixels.
    laid = Image.alpha_composite(Image.new("RGBA", colour.size, "black"), colour).convert("RGB")
    small = np.asarray(laid.resize((SIDE, SIDE), Image.Resampling.BOX)).astype(np.int16)
    return mode, float(np.ptp(small, axis=-1).mean())


def measure_properties(table: pd.DataFrame) -> pd.DataFrame:
    """Let a shallow decision tree guess the class from each property of ``take_survey`` alone.

    It guesses for groups of images that it has not seen, and every class counts the same. A row is
    a ``property`` and ``label``, the strongest first, with the ``auroc`` of the class against the
    others, 0.5 is chance, and its 95 % interval. There is none where there is but one class, or a
    class of fewer groups than folds: what tells a class cannot then be told from what tells a
    patient.
    """
    columns = ["property", "label", "auroc", "lower", "upper"]
    groups = table.groupby("label")["group"].nunique()
    if len(groups) < 2 or groups.min() < FOLDS:
        return pd.DataFrame(columns=columns)
    classes, truth = np.unique(table["label"].to_numpy(str), return_inverse=True)
    weights = patient_bootstrap(table["group"].to_numpy(str), SEED, RESAMPLES)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    folds = list(splitter.split(table, truth, table["group"]))
    tree = DecisionTreeClassifier(
        max_depth=3, min_samples_leaf=5, class_weight="balanced", random_state=SEED
    )
    rows = []
    for name, of in PROPERTIES.items():
        seen = pd.get_dummies(table[list(of)]).to_numpy(np.float64)
        scores = cross_val_predict(tree, seen, truth, cv=folds, method="predict_proba")
        for number, label in enumerate(classes):
            # Fold by fold: a tree gives less to a class of which it saw less, so no two compare.
            each = np.stack(
                [auroc(scores[of, number], truth[of] == number, weights[:, of]) for _, of in folds]
            )
            mean = ratio(np.nansum(each, axis=0), np.isfinite(each).sum(axis=0).astype(float))
            rows.append((name, label, *estimate(mean)))
    return pd.DataFrame(rows, columns=columns).sort_values("auroc", ascending=False)


def _joined_copies(table: pd.DataFrame, thumbnails: Thumbnails) -> pd.Series:
    """Name the picture that each image shows: equal byte for byte, or with small changes."""
    files = table["sha256"]
    shown = table[(table["contrast"] >= LEAST_CONTRAST) & ~files.duplicated()]
    rows = shown.index.to_numpy()
    pairs = near_duplicate_pairs(thumbnails[..., np.newaxis], rows, NEAR_DUPLICATE_BITS)
    names = dict(zip(shown["sha256"], joined_groups(shown["sha256"].tolist(), pairs), strict=True))
    return files.map(lambda file: names.get(file, file))


def _shortcut_findings(properties: pd.DataFrame) -> Iterator[str]:
    for row in properties[properties["lower"] > LIMIT].itertuples():
        end = "; the disease itself may change it" if row.property in FOLLOWS_DISEASE else ""
        interval = f"AUROC {row.auroc:.2f} ({row.lower:.2f} to {row.upper:.2f})"
        yield f"The {row.property} alone tells {row.label} with {interval}{end}."


def _source_findings(table: pd.DataFrame) -> Iterator[str]:
    sources = table.groupby("label")["source"].unique()
    labels = table.groupby("source")["label"].nunique()
    for label, found in sources.items() if len(labels) > 1 else ():
        alone = [source for source in found if labels[source] == 1]
        if len(found) == 1:
            yield (
                f"All images of {label} come from one source, {found[0]}: what a model learns of "
                f"{label} may be how {found[0]} makes images."
            )
        elif alone:
            yield f"{', '.join(alone)}: nothing but {label}, so there the source tells the class."


def _crossing_findings(pictured: pd.DataFrame) -> Iterator[str]:
    """Pictures and patients that stand on two sides, named by an image of each side."""
    named = pictured[pictured["patient"] != ""]
    for table, one, field, end in (
        (pictured, "picture", "label", "look which label is right."),
        (pictured, "picture", "split", "figures on one split count what another has shown."),
        (pictured, "picture", "source", "one source is no independent test of the other."),
        (named, "patient", "split", "no image may tell the other its patient."),
    ):
        crossing = table[table.groupby(one)[field].transform("nunique") > 1]
        if len(crossing):
            first = crossing[crossing[one] == crossing[one].iloc[0]]
            example = " and ".join(first.groupby(field)["path"].first())
            yield (
                f"{crossing[one].nunique()} {one}s stand under more than one {field}, such as "
                f"{example}: {end}"
            )


def _draw_classes(table: pd.DataFrame, thumbnails: Thumbnails) -> Figure:
    """The mean image of each class, and some of its images; a class to a row."""
    labels = sorted(set(table["label"]))
    size = 1.5 * (1 + SAMPLES), 0.4 + 1.6 * len(labels)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    grid = figure.subplots(len(labels), 1 + SAMPLES, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for cells, label in zip(grid, labels, strict=True):
        members = table[table["label"] == label]
        drawn = members.sample(min(SAMPLES, len(members)), random_state=SEED).index
        pictures = [thumbnails[members.index].mean(axis=0), *thumbnails[drawn]]
        cells[0].set_ylabel(label, fontsize=9)
        for cell, picture in zip(cells, pictures, strict=False):
            cell.imshow(picture, cmap="gray", vmin=0, vmax=255)
    return figure
