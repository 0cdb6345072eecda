from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.config import SplitConfig
from training.splits import drawn_splits

PATIENTS = st.lists(
    st.tuples(st.sampled_from(["normal", "pneumonia"]), st.integers(1, 20)), min_size=1, max_size=60
)


def table_of(patients: list[tuple[str, int]]) -> pd.DataFrame:
    names = [f"{label}-{n}" for label, n in patients]
    return pd.DataFrame(
        {
            "label": [label for label, _ in patients],
            "patient": names,
            "group": names,
            "source": "hospital",
            "split": "train",
        }
    )


def split(
    table: pd.DataFrame,
    *,
    seed: int = 0,
    share: float = 0.2,
    bits: int = 0,
    images: NDArray[np.uint8] | None = None,
    **config: Any,
) -> pd.DataFrame:
    """The splits of a table; its images are noise, no two alike, where none are given."""
    if images is None:
        noise = np.random.default_rng(0).integers(0, 256, (len(table), 20, 20, 1), dtype=np.uint8)
        images = noise
    rules = SplitConfig(validation_share=share, near_duplicate_bits=bits, **config)
    return drawn_splits(table, images, rules, seed)


@given(patients=PATIENTS, seed=st.integers(0, 5), joins=st.sets(st.integers(0, 59), max_size=6))
def test_no_group_is_ever_cut(patients: list[tuple[str, int]], seed: int, joins: set[int]) -> None:
    table = table_of(patients)
    images = np.random.default_rng(0).integers(0, 256, (len(table), 20, 20, 1), dtype=np.uint8)
    for row in joins:
        images[row % len(table)] = images[(row * 7 + 1) % len(table)]

    drawn = split(table, seed=seed, images=images, test_share=0.2)

    assert (drawn.groupby("group")["split"].nunique() == 1).all()
    assert (drawn.groupby("patient")["split"].nunique() == 1).all()
    alike = drawn.groupby([image.tobytes() for image in images])["group"].nunique()
    assert (alike == 1).all()


def test_each_label_gives_its_share_to_each_split() -> None:
    table = table_of([("normal", n) for n in range(100)] + [("pneumonia", n) for n in range(300)])

    drawn = split(table, test_share=0.1)

    counts = drawn.groupby(["split", "label"]).size()
    assert counts["test"].to_dict() == {"normal": 10, "pneumonia": 30}
    assert counts["validation"].to_dict() == {"normal": 18, "pneumonia": 54}
    assert list(drawn.index) == list(table.index)
    # Also where one group is large.
    uneven = table_of([("normal", 1)] * 50 + [("normal", n) for n in range(2, 52)])
    assert (split(uneven)["split"] == "validation").sum() == 20


def test_the_seed_decides_the_split() -> None:
    table = table_of([("normal", n) for n in range(50)] + [("pneumonia", n) for n in range(50)])

    first, same, other = (split(table, seed=seed)["split"] for seed in (0, 0, 1))

    assert first.equals(same)
    assert not first.equals(other)


def test_a_picture_that_was_only_exposed_otherwise_is_a_near_duplicate() -> None:
    random = np.random.default_rng(0)
    pictures = np.kron(random.integers(0, 256, (6, 12, 12)), np.ones((1, 5, 5))).astype(np.uint8)
    brighter = (255 * (pictures[4] / 255) ** 0.7).astype(np.uint8)
    images = np.stack([*pictures, brighter])[..., np.newaxis]
    table = table_of([("normal", n) for n in range(7)])

    groups = split(table, images=images, bits=12)["group"]
    # Rows of the table may be a part of the images.
    some = split(table[3:], images=images, bits=12)["group"]

    assert groups[6] == groups[4] == some[6] == some[4] == "normal-4"
    assert groups[:6].nunique() == 6
    assert some.nunique() == 3


def test_by_image_one_patient_is_trained_on_and_tested() -> None:
    table = table_of([("normal", n % 4) for n in range(40)])

    drawn = split(table, by="image", test_share=0.2)

    assert drawn["split"].value_counts().to_dict() == {"train": 25, "test": 8, "validation": 7}
    assert (drawn.groupby("patient")["split"].nunique() > 1).any()
