import numpy as np
import pandas as pd
import pytest

from training.lab.shortcuts import (
    Property,
    find_shortcut_values,
    measure_properties,
)

IMAGES = 120


@pytest.fixture
def table() -> pd.DataFrame:
    """Two classes in turn; everything but the class is the same, or chance."""
    random = np.random.default_rng(0)
    number = np.arange(IMAGES)
    return pd.DataFrame(
        {
            "label": np.where(number % 2, "pneumonia", "normal"),
            "group": number.astype(str),
            "source": "hospital",
            "format": "JPEG",
            "mode": "L",
            "bits": 8,
            "rows": 200,
            "columns": 100,
            "aspect": 0.5,
            "jpeg_quality": np.nan,
            "coloured": 0.0,
            "tint": 0.0,
            "bytes": random.integers(1000, 2000, IMAGES),
            "bytes_per_pixel": 0.1,
            "mean_gray": random.normal(100, 10, IMAGES),
            "contrast": random.normal(50, 5, IMAGES),
            "border_gray": random.normal(20, 5, IMAGES),
            "border_black": 0.5,
        }
    )


def named(table: pd.DataFrame) -> set[str]:
    return {
        each.name
        for each in measure_properties(table)
        if any(one.is_shortcut for one in each.signals)
    }


def facts(table: pd.DataFrame, name: str) -> Property:
    return next(each for each in measure_properties(table) if each.name == name)


def test_chance_is_no_shortcut(table: pd.DataFrame) -> None:
    assert named(table) == set()


@pytest.mark.parametrize(
    ("column", "of_pneumonia", "name"),
    [
        ("format", "PNG", "file format"),
        ("mode", "RGB", "colour mode"),
        ("bits", 16, "bit depth"),
        ("source", "clinic", "source"),
        ("rows", 300, "image size"),
        ("aspect", 0.7, "aspect ratio"),
        ("coloured", 0.9, "colour tint"),
        ("jpeg_quality", 75.0, "JPEG quality"),
        ("bytes", 5000, "file size"),
        ("mean_gray", 200.0, "mean gray"),
        ("contrast", 99.0, "contrast"),
        ("border_gray", 200.0, "border brightness"),
    ],
)
def test_each_property_that_tells_the_class_is_named(
    table: pd.DataFrame, column: str, of_pneumonia: str | float, name: str
) -> None:
    values = table[column].mask(table["label"] == "pneumonia", of_pneumonia)
    changed = table.assign(**{column: values})

    assert named(changed) == {name}
    assert facts(changed, name).signals[0].auroc == 1
    assert facts(changed, name).balanced_accuracy == 1


def test_what_is_the_same_for_all_tells_exactly_nothing(table: pd.DataFrame) -> None:
    signals = facts(table, "bit depth").signals

    assert [(one.auroc, one.lower, one.upper) for one in signals] == [(0.5, 0.5, 0.5)] * 2


def test_what_only_tells_the_patient_is_no_shortcut(table: pd.DataFrame) -> None:
    patient = np.arange(IMAGES) % 12
    brightness = np.random.default_rng(1).permutation(12)[patient] * 20.0

    assert named(table.assign(group=patient.astype(str), mean_gray=brightness)) == set()


@pytest.mark.parametrize(
    "changes",
    [{"label": "normal"}, {"group": "one patient"}],
    ids=["one class", "one patient"],
)
def test_nothing_is_measured_without_two_classes_of_several_patients(
    table: pd.DataFrame, changes: dict[str, str]
) -> None:
    assert measure_properties(table.assign(**changes)) == ()


def test_a_value_that_few_images_have_may_give_them_away(table: pd.DataFrame) -> None:
    rgb = (table["label"] == "pneumonia") & (table.index < 30)
    changed = table.assign(mode=table["mode"].mask(rgb, "RGB"))

    found = find_shortcut_values(changed)

    assert named(changed) == set()
    assert [(one.property, one.value, one.label, one.images) for one in found] == [
        ("colour mode", "RGB", "pneumonia", 15)
    ]


def test_a_value_of_a_handful_of_patients_is_no_giveaway(table: pd.DataFrame) -> None:
    rgb = (table["label"] == "pneumonia") & (table.index < 30)
    group = table["group"].mask(rgb, "the same patient")

    changed = table.assign(mode=table["mode"].mask(rgb, "RGB"), group=group)

    assert find_shortcut_values(changed) == ()
    assert find_shortcut_values(table) == ()
