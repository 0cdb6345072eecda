from pathlib import Path

from contract.findings import Label
from contract.manifest import Metric
from tests.training_data import tiny_recipe
from training.config import Recipe
from training.evaluation import Evaluation
from training.report.write import left_out
from training.workdir import Binding

RECIPE = tiny_recipe()


def metric(name: str, label: Label | None = None, source: str | None = None) -> Metric:
    return Metric(
        dataset="left out of the training",
        name=name,
        value=0.8,
        lower=0.7,
        upper=0.9,
        images=40,
        label=label,
        source=source,
    )


METRICS = (
    metric("auroc"),
    metric("ece"),
    metric("sensitivity", "pneumonia"),
    metric("f1", "pneumonia"),
    metric("accuracy", source="elsewhere"),
)


def write_training(folder: Path, recipe: Recipe) -> Path:
    evaluation = Evaluation(
        dataset="planted",
        split="left-out",
        data_digest="sha256:0",
        images=40,
        patients=40,
        unreadable=0,
        positive="pneumonia",
        metrics=METRICS,
    )
    folder.mkdir()
    (folder / "config.json").write_text(
        Binding(recipe=recipe, data_digest="sha256:0").model_dump_json()
    )
    (folder / "evaluation-left-out.json").write_text(evaluation.model_dump_json())
    return folder


def test_trainings_without_a_source_are_told_with_that_source(tmp_path: Path) -> None:
    write_training(tmp_path / "without-a", RECIPE.with_changes(leave_out=["hospital-a"]))
    write_training(tmp_path / "without-b", RECIPE.with_changes(leave_out=["hospital-b"]))

    result = left_out(tmp_path / "all", RECIPE)

    assert [(m.name, m.label, m.source) for m in result.metrics] == [
        ("left_out_auroc", None, "hospital-a"),
        ("left_out_sensitivity", "pneumonia", "hospital-a"),
        ("left_out_auroc", None, "hospital-b"),
        ("left_out_sensitivity", "pneumonia", "hospital-b"),
    ]
    assert {m.value for m in result.metrics} == {0.8}


def test_another_recipe_beside_it_is_not_told(tmp_path: Path) -> None:
    other = RECIPE.model_copy(update={"name": "other"})
    write_training(tmp_path / "other", other.with_changes(leave_out=["hospital-a"]))

    result = left_out(tmp_path / "all", RECIPE)

    assert not result.metrics
    assert "not done" in result.summary


def test_a_damaged_training_beside_it_is_passed_over(tmp_path: Path) -> None:
    without_a = RECIPE.with_changes(leave_out=["hospital-a"])
    damaged = write_training(tmp_path / "damaged", without_a)
    (damaged / "evaluation-left-out.json").write_text("{")
    unbound = write_training(tmp_path / "unbound", without_a)
    (unbound / "config.json").unlink()

    assert not left_out(tmp_path / "all", RECIPE).metrics
