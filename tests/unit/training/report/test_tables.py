import pandas as pd
import pytest

from tests.training_data import metric
from training.report import tables

METRICS = (
    metric("auroc", 0.9),
    metric("sensitivity", 0.7, "normal"),
    metric("sensitivity", 0.8, "pneumonia"),
    metric("accuracy", 0.6, source="here"),
    metric("auroc", 0.75, "pneumonia", "here"),
    metric("specificity", 0.65, "normal", "there"),
    metric("border_only_auroc", 0.55),
    metric("left_out_auroc", 0.45, "pneumonia", "there"),
)


def shown(table: pd.DataFrame) -> list[tuple[str, ...]]:
    return [tuple(table.columns), *map(tuple, table.to_numpy().tolist())]


def test_findings_are_columns_of_one_table_and_sources_rows_of_others() -> None:
    counted = [*METRICS, metric("images", 3, source="there")]

    assert shown(tables.by_class(METRICS)) == [
        ("Measure", "normal", "pneumonia"),
        ("Sensitivity", "0.700 (0.600 to 0.800)", "0.800 (0.700 to 0.900)"),
    ]
    assert not len(tables.by_class([metric("auroc")]))
    # Of few images there is the count alone; what a source does not give stays empty.
    assert shown(tables.by_source(counted)) == [
        ("Source", "Images", "Accuracy"),
        ("here", "1,200", "0.600 (0.500 to 0.700)"),
        ("there", "1,200", ""),
    ]
    assert shown(tables.by_class_and_source(METRICS)) == [
        ("Source", "Finding", "Images", "AUROC", "Specificity"),
        ("here", "pneumonia", "1,200", "0.750 (0.650 to 0.850)", ""),
        ("there", "normal", "1,200", "", "0.650 (0.550 to 0.750)"),
    ]


def test_figures_of_checks_name_their_source_and_finding() -> None:
    table = shown(tables.listed(tables.of_checks(METRICS)))

    assert table[0] == ("Measure", "Source", "Finding", "Value", "95 % interval", "Images")
    assert [row[:3] for row in table[1:]] == [
        ("Border only AUROC", "all", "all"),
        ("Left out AUROC", "there", "pneumonia"),
    ]
    assert tables.of_all(METRICS) == [METRICS[0]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("macro_auroc", "Macro AUROC"),
        ("f1", "F1"),
        ("ece_uncalibrated", "ECE uncalibrated"),
        ("under_jpeg_5_auroc", "Under JPEG 5 AUROC"),
    ],
)
def test_a_figure_has_a_name_for_people(name: str, expected: str) -> None:
    assert tables.title(name) == expected


def test_counts_are_whole_numbers_and_a_chance_level_has_no_interval() -> None:
    assert tables.value(metric("true_positives", 382)) == "382"
    assert tables.interval(metric("true_positives", 382)) == "382 to 382"
    assert tables.interval(metric("source_probe_chance")) == "none"
