from dataclasses import replace

from tests.unit.training.report.planted import MaterialOf
from training.ood_report import Detection
from training.report.tables import detection_table
from training.report.unfamiliar_methods import unfamiliar_methods


def row(method: str, kind: str, caught: float, *, familiar: bool = False) -> Detection:
    return Detection(
        method=method,
        kind=kind,
        familiar=familiar,
        images=10,
        auroc=0.9,
        caught=caught,
        lower=0,
        upper=1,
    )


ROWS = (
    row("served", "all unfamiliar", 0.95),
    row("served", "other body parts", 0.95),
    row("served", "evaluated images", 0.01, familiar=True),
    row("energy", "all unfamiliar", 0.2),
    row("energy", "other body parts", 0.2),
    row("energy", "evaluated images", 0.02, familiar=True),
)


def test_without_a_folder_nothing_is_compared(material_of: MaterialOf) -> None:
    assert not unfamiliar_methods(material_of("inside", "inside")).has_figures


def test_the_served_score_is_held_against_the_best(material_of: MaterialOf) -> None:
    material = replace(material_of("inside", "inside"), detections=lambda: ROWS)

    outcome = unfamiliar_methods(material)

    assert [m.name for m in outcome.metrics] == [
        "strange_all_unfamiliar_caught",
        "strange_other_body_parts_caught",
    ]
    assert "the best here, served, 95.0%" in outcome.summary


def test_the_table_has_a_row_for_each_kind_and_a_column_for_each_method() -> None:
    table = detection_table(ROWS)

    assert table.header == ("Kind", "Images", "served", "energy")
    assert table.rows[1] == ("other body parts", "10", "0.900, 95%", "0.900, 20%")
    assert table.rows[2][0] == "evaluated images (familiar)"
