import re
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

from contract.manifest import Metric
from tests.bundles import PROVENANCE
from tests.training_data import CALIBRATION, metric, tiny_recipe
from tests.unit.training.report.planted import FINDINGS, IMAGES, planted
from training.config import Recipe
from training.evaluation import Evaluation, measure
from training.figures import draw_evaluation
from training.predictions import count_answers, count_most_probable
from training.report.write import left_out, write_report
from training.workdir import Binding, TrainedModel

RECIPE = tiny_recipe().model_copy(update={"caveats": ("Mind the <gap>.",)})
CONTEXT = planted(
    "border", "border", sources=np.where(np.arange(IMAGES) // 2 % 2, "here", "<there>")
)
MEASURED = measure(CONTEXT.predictions, FINDINGS, "pneumonia", dataset="planted", seed=0)
ANSWERS = count_answers(CONTEXT.predictions, FINDINGS)


def evaluation(split: str, metrics: tuple[Metric, ...]) -> Evaluation:
    return Evaluation(
        dataset="planted",
        split=split,
        data_digest="sha256:1",
        images=IMAGES,
        patients=IMAGES,
        unreadable=0,
        positive="pneumonia",
        metrics=metrics,
        classes=("normal", "pneumonia"),
        confusion=count_most_probable(CONTEXT.predictions),
        answers=ANSWERS,
    )


@dataclass(frozen=True, slots=True)
class Reported:
    """A report that was written, and where."""

    workdir: Path
    evaluation: Evaluation

    @property
    def page(self) -> str:
        return (self.workdir / "report-test.html").read_text()


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    workdir, image = tmp_path_factory.mktemp("reported"), keras.Input((4,))
    calibration = CALIBRATION.model_copy(update={"findings": FINDINGS})
    trained = TrainedModel(keras.Model(image, image), RECIPE, calibration, PROVENANCE, None)
    draw_evaluation(
        workdir / "figures", "test", CONTEXT.predictions, FINDINGS, "pneumonia", ANSWERS
    )
    (workdir / "figures" / "test-roc.png").unlink()
    quiet = Console(quiet=True)
    return Reported(
        workdir, write_report(evaluation("test", MEASURED), CONTEXT, trained, workdir, quiet)
    )


def test_a_report_is_one_page_that_needs_nothing_else(reported: Reported) -> None:
    page = reported.page

    assert page.index("Research only. Not for diagnosis.") < page.index("<h1>")
    assert "Mind the &lt;gap&gt;." in page
    assert "&lt;there&gt;" in page
    assert "<there>" not in page
    addresses = re.findall(r'(?:src|href)="([^"]{0,12})', page)
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert "//" not in re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)


def test_the_figures_of_the_checks_stand_behind_the_measured_ones(reported: Reported) -> None:
    metrics = reported.evaluation.metrics

    assert metrics[: len(MEASURED)] == MEASURED
    names = {metric.name for metric in metrics[len(MEASURED) :]}
    assert {"source_probe_balanced_accuracy", "border_only_auroc", "border_pixels_auroc"} <= names
    assert "under_inversion_1_auroc" in names


def test_no_picture_of_a_patient_lies_among_the_plots(reported: Reported) -> None:
    plots = {file.name for file in (reported.workdir / "figures").iterdir()}

    assert plots == {
        "test-answers.png",
        "test-precision-recall.png",
        "test-reliability.png",
        "test-robustness.png",
    }
    assert reported.page.count("<figcaption>Hit: is pneumonia") == 2
    assert "How often the model is right" in reported.page
    assert "ROC curves" not in reported.page


def write_training(folder: Path, recipe: Recipe, *without: str) -> Path:
    """A training that left sources out, with what it found on them."""
    metrics = (
        metric("auroc", 0.8),
        metric("ece"),
        metric("sensitivity", 0.8, "pneumonia"),
        metric("f1", label="pneumonia"),
        metric("accuracy", source="elsewhere"),
    )
    binding = Binding(recipe=recipe.with_changes(leave_out=without), data_digest="sha256:0")
    folder.mkdir()
    (folder / "config.json").write_text(binding.model_dump_json())
    (folder / "evaluation-left-out.json").write_text(
        evaluation("left-out", metrics).model_dump_json()
    )
    return folder


def test_trainings_without_a_source_are_told_with_that_source(tmp_path: Path) -> None:
    # Those of other recipes and damaged ones are not.
    write_training(tmp_path / "other", RECIPE.model_copy(update={"name": "other"}), "hospital-a")
    damaged = write_training(tmp_path / "damaged", RECIPE, "hospital-a")
    (damaged / "evaluation-left-out.json").write_text("{")
    (write_training(tmp_path / "unbound", RECIPE, "hospital-a") / "config.json").unlink()
    nothing = left_out(tmp_path / "all", RECIPE)
    write_training(tmp_path / "without-a", RECIPE, "hospital-a")
    write_training(tmp_path / "without-b", RECIPE, "hospital-b")

    result = left_out(tmp_path / "all", RECIPE)

    assert not nothing.metrics
    assert "not done" in nothing.summary
    assert [(m.name, m.label, m.source) for m in result.metrics] == [
        ("left_out_auroc", None, "hospital-a"),
        ("left_out_sensitivity", "pneumonia", "hospital-a"),
        ("left_out_auroc", None, "hospital-b"),
        ("left_out_sensitivity", "pneumonia", "hospital-b"),
    ]
    assert {m.value for m in result.metrics} == {0.8}
