import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.synthetic import synthetic_radiograph
from training.config import SplitConfig
from training.near_duplicates import joined_groups
from training.splits import with_groups, with_validation

STRATEGIES = ("random", "block")


def table_of(patients: list[tuple[str, int]]) -> pd.DataFrame:
    names = [f"train-{'person' if label == 'pneumonia' else 'IM-'}{n}" for label, n in patients]
    return pd.DataFrame(
        {
            "label": [label for label, _ in patients],
            "patient": names,
            "group": names,
            "source": "hospital",
        }
    )


PATIENTS = st.lists(
    st.tuples(st.sampled_from(["normal", "pneumonia"]), st.integers(1, 20)), min_size=1, max_size=60
)


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(patients=PATIENTS, seed=st.integers(0, 5), joins=st.sets(st.integers(0, 59), max_size=6))
def test_no_group_is_ever_cut(
    strategy: str, patients: list[tuple[str, int]], seed: int, joins: set[int]
) -> None:
    table = table_of(patients)
    pairs = ((row % len(table), (row * 7 + 1) % len(table)) for row in joins)
    table = table.assign(group=joined_groups(list(table["group"]), pairs))
    config = SplitConfig.model_validate(
        {"strategy": strategy, "validation_share": 0.2, "near_duplicate_bits": 0}
    )

    split = with_validation(table, config, seed)

    assert (split.groupby("group")["split"].nunique() == 1).all()
    assert (split.groupby("patient")["split"].nunique() == 1).all()


def test_no_label_gives_more_than_its_share_even_where_one_group_is_large() -> None:
    table = table_of([("normal", 1)] * 50 + [("normal", n) for n in range(2, 52)])
    config = SplitConfig(validation_share=0.2, near_duplicate_bits=0)

    split = with_validation(table, config, seed=0)

    assert (split["split"] == "validation").sum() == 20


def test_each_label_gives_its_share() -> None:
    table = table_of([("normal", n) for n in range(100)] + [("pneumonia", n) for n in range(300)])
    config = SplitConfig(validation_share=0.2, near_duplicate_bits=0)

    split = with_validation(table, config, seed=0)

    held_out = split[split["split"] == "validation"]["label"].value_counts()
    assert held_out.to_dict() == {"pneumonia": 60, "normal": 20}


def test_the_seed_decides_the_random_split() -> None:
    table = table_of([("normal", n) for n in range(50)] + [("pneumonia", n) for n in range(50)])
    config = SplitConfig(validation_share=0.2, near_duplicate_bits=0)
    first, same, other = (with_validation(table, config, seed)["split"] for seed in (0, 0, 1))

    assert first.equals(same)
    assert not first.equals(other)


def test_a_block_is_the_lowest_numbers_of_each_series() -> None:
    table = table_of([("normal", n) for n in range(10)] + [("pneumonia", n) for n in range(20)])
    config = SplitConfig(strategy="block", validation_share=0.2, near_duplicate_bits=0)

    split = with_validation(table, config, seed=0)

    held_out = split.loc[split["split"] == "validation", "patient"].tolist()
    assert held_out == [
        *("train-IM-0", "train-IM-1"),
        *("train-person0", "train-person1", "train-person2", "train-person3"),
    ]


def test_a_picture_that_was_only_exposed_otherwise_is_a_near_duplicate() -> None:
    random = np.random.default_rng(0)
    pictures = np.kron(random.integers(0, 256, (6, 12, 12)), np.ones((1, 5, 5))).astype(np.uint8)
    brighter = (255 * (pictures[4] / 255) ** 0.7).astype(np.uint8)
    images = np.stack([*pictures, brighter])[..., np.newaxis]
    table = pd.DataFrame({"group": [f"patient-{row}" for row in range(7)]})

    groups = with_groups(table, images, near_duplicate_bits=12)["group"]

    assert groups[6] == groups[4] == "patient-4"
    assert groups[:6].nunique() == 6


def test_rows_of_the_table_may_be_a_part_of_the_images() -> None:
    picture = synthetic_radiograph(64, 64, seed=1)
    images = np.stack([synthetic_radiograph(64, 64, seed=0), picture, picture])[..., np.newaxis]
    table = pd.DataFrame({"group": ["b", "a"]}, index=[1, 2])

    groups = with_groups(table, images, near_duplicate_bits=0)["group"]

    assert groups.tolist() == ["a", "a"]


def test_groups_join_along_chains() -> None:
    groups = joined_groups(["d", "c", "b", "a", "e"], iter([(0, 1), (2, 3), (1, 2)]))

    assert groups == ["a", "a", "a", "a", "e"]
