"""Pictures that stand in a data set more than once."""

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.explore.report import Cluster, Member
from training.explore.survey import Survey
from training.near_duplicates import difference_hashes, joined_groups, near_duplicate_pairs

# As far as the recipes that ship with the project let two near-duplicates differ, of 256 bits.
NEAR_DUPLICATE_BITS = 12
# An image without any contrast has an empty hash; it would pass for a duplicate of every other.
LEAST_CONTRAST = 2.0
BATCH = 256


def find_duplicates(survey: Survey) -> tuple[Cluster, ...]:
    """Find the files that are equal byte for byte, and those that show nearly the same picture.

    A cluster of near-duplicates holds pairs of pairs too, and the copies of its members. Clusters
    that stand in several classes, splits or sources come first.
    """
    exact = _clusters(survey.table, survey.table["sha256"], exact=True)
    near = _clusters(survey.table, _pictures(survey), exact=False)
    return tuple(
        sorted(
            exact + near,
            key=lambda one: (
                -len(one.labels),
                -len(one.splits),
                -len(one.sources),
                one.members[0].path,
            ),
        )
    )


def _clusters(table: pd.DataFrame, names: pd.Series, *, exact: bool) -> list[Cluster]:
    """The images that share a name; of near-duplicates at least two are not the same file."""
    return [
        Cluster(
            exact=exact,
            members=tuple(
                Member(**row) for row in images[list(Member.model_fields)].to_dict("records")
            ),
        )
        for _, images in table[names.duplicated(keep=False)].groupby(names)
        if exact or images["sha256"].nunique() > 1
    ]


def _pictures(survey: Survey) -> pd.Series:
    """Name what each image shows after the first file that shows it."""
    files = survey.table["sha256"]
    shown = survey.table[(survey.table["contrast"] >= LEAST_CONTRAST) & ~files.duplicated()]
    pairs = near_duplicate_pairs(_hashes(survey, shown.index.tolist()), NEAR_DUPLICATE_BITS)
    joined = joined_groups(shown["sha256"].tolist(), pairs)
    names = dict(zip(shown["sha256"], joined, strict=True))
    return files.map(lambda file: names.get(file, file))


def _hashes(survey: Survey, rows: Sequence[int]) -> NDArray[np.bool_]:
    thumbnails = survey.thumbnails(rows)
    parts = [_hashed(batch) for batch in iter(lambda: list(islice(thumbnails, BATCH)), [])]
    return np.concatenate(parts) if parts else np.empty((0, 0), np.bool_)


def _hashed(planes: Iterable[NDArray[np.uint8]]) -> NDArray[np.bool_]:
    images = np.stack(list(planes))[..., np.newaxis]
    return difference_hashes(images, np.arange(len(images)))
