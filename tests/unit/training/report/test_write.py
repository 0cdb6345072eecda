import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

from contract.manifest import Provenance
from tests.training_data import tiny_recipe
from tests.unit.training.report.planted import FINDINGS, IMAGES, ContextOf
from training.calibrate import Calibration
from training.evaluation import Evaluation, measure
from training.figures import draw_evaluation
from training.predictions import count_answers, count_most_probable
from training.report.context import EvaluationContext
from training.report.write import write_report
from training.workdir import TrainedModel

RECIPE = tiny_recipe().model_copy(update={"caveats": ("Mind the <gap>.",)})
SOURCES = np.where(np.arange(IMAGES) // 2 % 2, "here", "<there>")


@dataclass(frozen=True, slots=True)
class Reported:
    """A report that was written, and where."""

    workdir: Path
    evaluation: Evaluation

    @property
    def page(self) -> str:
        return (self.workdir / "report-test.html").read_text()


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    image = keras.Input((4,))
    return TrainedModel(
        model=keras.Model(image, image),
        config=RECIPE,
        calibration=Calibration(
            temperature=1.1,
            loss_before=0.3,
            loss_after=0.2,
            validation_images=IMAGES,
            shifts=("none",),
            findings=FINDINGS,
        ),
        provenance=Provenance(
            recipe="tiny",
            dataset="planted",
            licence="none",
            training_images=1,
            validation_images=1,
            data_digest="sha256:0",
            git_revision="0",
            framework="keras",
            trained_at=datetime(2026, 1, 1, tzinfo=UTC),
        ),
        evaluation=None,
    )


@pytest.fixture(scope="module")
def context(context_of: ContextOf) -> EvaluationContext:
    return context_of("border", "border", sources=SOURCES)


@pytest.fixture(scope="module")
def reported(
    context: EvaluationContext, trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory
) -> Reported:
    workdir = tmp_path_factory.mktemp("reported")
    answers = count_answers(context.predictions, FINDINGS)
    draw_evaluation(
        workdir / "figures", "test", context.predictions, FINDINGS, "pneumonia", answers
    )
    (workdir / "figures" / "test-roc.png").unlink()
    quiet = Console(quiet=True)
    return Reported(workdir, write_report(evaluation_of(context), context, trained, workdir, quiet))


def evaluation_of(context: EvaluationContext) -> Evaluation:
    predictions = context.predictions
    return Evaluation(
        dataset="planted",
        split="test",
        data_digest="sha256:1",
        images=IMAGES,
        patients=IMAGES,
        unreadable=0,
        positive="pneumonia",
        metrics=measure(predictions, FINDINGS, "pneumonia", dataset="planted", seed=0),
        classes=("normal", "pneumonia"),
        confusion=count_most_probable(predictions),
        answers=count_answers(predictions, FINDINGS),
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


def test_the_figures_of_the_checks_stand_behind_the_measured_ones(
    context: EvaluationContext, reported: Reported
) -> None:
    metrics, measured = reported.evaluation.metrics, evaluation_of(context).metrics

    assert metrics[: len(measured)] == measured
    names = {metric.name for metric in metrics[len(measured) :]}
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


def test_the_page_shows_the_plots_that_are_there(reported: Reported) -> None:
    assert "How often the model is right" in reported.page
    assert "ROC curves" not in reported.page
