import json
import re
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from contract.manifest import Provenance
from tests.training_data import tiny_recipe
from tests.unit.training.report.planted import FINDINGS, IMAGES, ContextOf
from training.calibrate import Calibration
from training.evaluation import Evaluation, measure_whole
from training.figures import draw_evaluation
from training.predictions import count_answers, count_most_probable
from training.progress import progress_bar
from training.report.context import EvaluationContext
from training.report.write import ReportFolder, with_finished_checks, write_report
from training.workdir import TrainedModel, Workdir

RECIPE = tiny_recipe().model_copy(update={"caveats": ("Mind the <gap>.",)})
SOURCES = np.where(np.arange(IMAGES) // 2 % 2, "here", "<there>")


@dataclass(frozen=True, slots=True)
class Reported:
    """A report that was written, and where."""

    folder: ReportFolder
    evaluation: Evaluation

    @property
    def page(self) -> str:
        return (self.folder.root / "report.html").read_text()


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


@pytest.fixture
def folder(tmp_path: Path) -> ReportFolder:
    return a_folder(tmp_path)


@pytest.fixture(scope="module")
def reported(
    context: EvaluationContext, trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory
) -> Reported:
    folder = a_folder(tmp_path_factory.mktemp("reported"))
    answers = count_answers(context.predictions, FINDINGS)
    for split in ("test", "validation"):
        plots = folder.plot("roc").parent
        draw_evaluation(plots, split, context.predictions, FINDINGS, "pneumonia", answers)
    for kind in ("roc", "precision-recall", "reliability", "answers"):
        folder.plot(kind).unlink()
    return Reported(folder, report(context, trained, folder))


def a_folder(root: Path) -> ReportFolder:
    work = Workdir(root / "workdir")
    work.root.mkdir()
    work.model.write_bytes(b"a model")
    (work.root / "calibration.json").write_text("{}")
    return ReportFolder(work, "test")


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
        metrics=measure_whole(predictions, FINDINGS, "pneumonia", dataset="planted", seed=0),
        classes=("normal", "pneumonia"),
        confusion=count_most_probable(predictions),
        answers=count_answers(predictions, FINDINGS),
    )


def report(context: EvaluationContext, trained: TrainedModel, folder: ReportFolder) -> Evaluation:
    with progress_bar(Console(quiet=True)) as bar:
        return write_report(evaluation_of(context), context, trained, folder, bar)


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
    plots = {file.name for file in reported.folder.plot("roc").parent.glob("test-*")}

    assert plots == {"test-robustness.png", "test-scores.png"}
    assert not list(reported.folder.root.rglob("*.png"))
    assert reported.page.count('class="pair"') >= 4


def test_the_page_shows_the_plots_of_its_own_split(reported: Reported) -> None:
    assert "How the probabilities are spread" in reported.page
    assert "ROC curves" not in reported.page


def test_the_levels_of_the_page_are_there_for_programs_too(reported: Reported) -> None:
    content = json.loads(reported.folder.checks.read_text())

    assert len(content["checks"]["robustness-noise"]["points"]) == 6


def test_a_killed_report_carries_on_with_the_checks_that_are_left(
    context: EvaluationContext, trained: TrainedModel, reported: Reported, folder: ReportFolder
) -> None:
    content = json.loads(reported.folder.checks.read_text())
    del content["checks"]["robustness-noise"]
    folder.root.mkdir()
    folder.checks.write_text(json.dumps(content))
    asked = 0

    def predict(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        nonlocal asked
        asked += 1
        return context.predict(images)

    evaluation = report(replace(context, predict=predict), trained, folder)

    # Five levels of noise, and the examples.
    assert asked == 6
    assert evaluation == reported.evaluation


def test_an_evaluation_without_a_report_keeps_what_a_report_has_found(
    context: EvaluationContext, reported: Reported, folder: ReportFolder
) -> None:
    folder.root.mkdir()
    shutil.copy(reported.folder.checks, folder.checks)
    measured = evaluation_of(context)

    kept = with_finished_checks(measured, folder, RECIPE)
    folder.work.model.write_bytes(b"another model")
    dropped = with_finished_checks(measured, folder, RECIPE)

    assert kept == reported.evaluation
    assert dropped == measured


def test_the_report_of_another_split_has_its_own_folder(folder: ReportFolder) -> None:
    validation = ReportFolder(folder.work, "validation")

    assert validation.root != folder.root
