"""What a data set is made of: counts, files, sources, and patients in several splits."""

import pandas as pd

from training.explore.report import ClassFacts, Count, Overlap, Spread, Unreadable
from training.explore.shortcuts import TINTED_SHARE
from training.explore.survey import Survey

CELL = ["label", "split", "source"]


def count_images(survey: Survey) -> tuple[Count, ...]:
    """Count images and patients per class, official split and source."""
    # Nobody knows whose the images without a patient are.
    read = survey.table.replace({"patient": {"": None}}).groupby(CELL)
    cells = pd.DataFrame(
        {
            "images": read.size(),
            "patients": read["patient"].nunique(),
            "unreadable": survey.unreadable.groupby(CELL).size(),
        }
    )
    rows = cells.fillna(0).astype(int).reset_index().to_dict("records")
    return tuple(Count(**row) for row in rows)


def describe_classes(table: pd.DataFrame) -> tuple[ClassFacts, ...]:
    """Describe how the files of each class are stored.

    Args:
        table: Of a ``Survey``.
    """
    return tuple(_describe(str(label), images) for label, images in table.groupby("label"))


def patient_overlaps(table: pd.DataFrame) -> tuple[Overlap, ...]:
    """Find the patients with images in several official splits.

    Args:
        table: Of a ``Survey``.
    """
    named = table[table["patient"] != ""]
    splits = named.groupby("patient")["split"].transform("nunique")
    return tuple(
        Overlap(
            splits=tuple(sorted(set(images["split"]))),
            examples=tuple(images.groupby("split")["path"].first()),
        )
        for _, images in named[splits > 1].groupby("patient")
    )


def list_unreadable(unreadable: pd.DataFrame) -> tuple[Unreadable, ...]:
    """List what cannot be read.

    Args:
        unreadable: Of a ``Survey``.
    """
    rows = unreadable[list(Unreadable.model_fields)].to_dict("records")
    return tuple(Unreadable(**row) for row in rows)


def classes_of_one_source(table: pd.DataFrame) -> dict[str, str]:
    """The source of each class that comes from one alone, where there are several."""
    return _decided(table, "label", "source") if table["source"].nunique() > 1 else {}


def sources_of_one_class(table: pd.DataFrame) -> dict[str, str]:
    """The class of each source that holds one alone, where there are several of both."""
    several = table["source"].nunique() > 1 and table["label"].nunique() > 1
    return _decided(table, "source", "label") if several else {}


def missing_cells(table: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Each class and official split that have no image in common."""
    counts = pd.crosstab(table["label"], table["split"]).stack()
    return tuple((str(label), str(split)) for label, split in counts[counts == 0].index)


def _decided(table: pd.DataFrame, given: str, told: str) -> dict[str, str]:
    """The one value of ``told`` for each value of ``given`` that has only one."""
    values = table.groupby(given)[told].unique()
    return {str(key): str(found[0]) for key, found in values.items() if len(found) == 1}


def _describe(label: str, images: pd.DataFrame) -> ClassFacts:
    coloured = images["coloured"].dropna()
    return ClassFacts(
        label=label,
        images=len(images),
        formats=_shares(images["format"]),
        modes=_shares(images["mode"]),
        bits=_shares(images["bits"].astype(str)),
        tinted=float((coloured > TINTED_SHARE).mean()) if len(coloured) else None,
        masks=int((images["mask"] != "").sum()),
        columns=_spread(images["columns"]),
        rows=_spread(images["rows"]),
        bytes=_spread(images["bytes"]),
        jpeg_quality=_spread(quality) if len(quality := images["jpeg_quality"].dropna()) else None,
        mean_gray=_spread(images["mean_gray"]),
        border_gray=_spread(images["border_gray"]),
    )


def _shares(values: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().items()}


def _spread(values: pd.Series) -> Spread:
    return Spread(smallest=values.min(), median=values.median(), largest=values.max())
