import io
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from contract.manifest import Metric
from tests.training_data import TINY_RECIPE, tiny_recipe, write_kermany
from training.errors import RecipeError, TrainingDiverged, WorkdirMismatch
from training.graph_measurement import GRAPH_MEASUREMENT, GraphMeasurement, model_digest
from training.lab.classical import BASELINES
from training.lab.compare import choose_candidates, compare, with_backbone
from training.lab.comparison import Comparison, Row, Split, draw_comparison, ranked, render_page
from training.report.tables import with_interval
from training.workdir import load_trained

CANDIDATES = ("compact", "logistic-regression-hog", "svm-pca")
FINE_TUNING = {"head_epochs": 1, "head_learning_rate": 1e-3, "share": 0.5}


@dataclass(frozen=True)
class Run:
    """A comparison, and where it lies."""

    data: Path
    workdir: Path
    comparison: Comparison
    told: str

    def again(self, *candidates: str, split: Split = "validation") -> tuple[Comparison, str]:
        told = io.StringIO()
        console = Console(file=told, width=200)
        recipe = tiny_recipe()
        return compare(recipe, self.data, self.workdir, candidates, console, split), told.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The test folder is not there: nothing can have looked at it."""
    root = tmp_path_factory.mktemp("data")
    write_kermany(root, "train", images_per_class=24)
    told = io.StringIO()
    workdir = tmp_path_factory.mktemp("compared")
    console = Console(file=told, width=200)
    comparison = compare(tiny_recipe(), root, workdir, CANDIDATES, console)
    return Run(root, workdir, comparison, told.getvalue())


def value(row: Row, name: str, split: Split = "validation") -> float:
    return row.figures[split][name].value


def auroc(value: float) -> dict[str, Metric]:
    metric = Metric(
        dataset="x", name="auroc", value=value, lower=value - 0.1, upper=value + 0.05, images=9
    )
    return {"auroc": metric}


def row(name: str, **aurocs: float) -> Row:
    figures = {split: auroc(value) for split, value in aurocs.items()}
    return Row.model_validate({"name": name, "kind": "network", "figures": figures})


def test_every_candidate_is_measured_on_the_validation_split_alone(run: Run) -> None:
    rows = {row.name: row for row in run.comparison.rows}

    assert set(rows) == set(CANDIDATES)
    assert all(value(row, "auroc") > 0.5 for row in rows.values())
    assert all(row.figures.keys() == {"validation"} for row in rows.values())
    assert run.comparison.splits["train"] + run.comparison.splits["validation"] == 48
    assert rows["compact"].parameters == load_trained(run.workdir / "compact").model.count_params()
    assert (rows["svm-pca"].ms_per_image or 0) > 0
    assert rows["svm-pca"].parameters is None


def test_all_candidates_are_held_to_the_same_split(run: Run) -> None:
    splits = [path.read_text() for path in run.workdir.rglob("split.csv")]

    assert len(splits) == 2
    assert splits[0] == splits[1]


def test_the_images_are_decoded_once(run: Run) -> None:
    assert (run.workdir / "compact" / "cache").resolve() == run.workdir / "cache"
    assert not (run.workdir / "svm-pca" / "cache").exists()


def test_the_operating_points_hold_on_validation_what_the_rules_ask_for(run: Run) -> None:
    for row in run.comparison.rows:
        assert value(row, "sensitivity") >= 0.9


def test_table_page_and_picture_say_the_same(run: Run) -> None:
    table = pd.read_csv(run.workdir / "comparison.csv")
    page = (run.workdir / "comparison.html").read_text()
    content = json.loads((run.workdir / "comparison.json").read_text())

    assert Comparison.model_validate(content) == run.comparison
    assert table["candidate"].tolist() == [row.name for row in run.comparison.rows]
    assert table["validation_auroc"].is_monotonic_decreasing
    for row in run.comparison.rows:
        assert with_interval(row.figures["validation"]["auroc"]) in page
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    assert run.comparison.rows[0].name in run.told
    with Image.open(run.workdir / "comparison.png") as picture:
        assert picture.width == 1200


def test_what_was_not_exported_says_how_to_measure_it(run: Run) -> None:
    [network] = [row for row in run.comparison.rows if row.kind == "network"]

    assert network.onnx_bytes is None
    assert network.note == "not measured: run pneumo-export measure"
    assert network.note in (run.workdir / "comparison.html").read_text()


def test_a_second_comparison_trains_nothing_and_reads_what_export_has_measured(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = GraphMeasurement(
        model_digest=model_digest(run.workdir / "compact"),
        parameters=9,
        size_bytes=1_500_000,
        ms_per_image=2.5,
        runtime="onnxruntime",
    )
    (run.workdir / "compact" / GRAPH_MEASUREMENT).write_text(measured.model_dump_json())
    monkeypatch.setattr("training.lab.compare.train", None)
    monkeypatch.setattr("training.lab.compare.fit_baseline", None)

    again, _ = run.again(*CANDIDATES)

    rows = {row.name: row for row in again.rows}
    assert (rows["compact"].onnx_bytes, rows["compact"].ms_per_image) == (1_500_000, 2.5)
    before = {row.name: row for row in run.comparison.rows}
    assert {name: row.figures for name, row in rows.items()} == {
        name: row.figures for name, row in before.items()
    }
    assert "1.50" in (run.workdir / "comparison.html").read_text()


def test_a_measurement_of_another_model_does_not_count(run: Run) -> None:
    file = run.workdir / "compact" / GRAPH_MEASUREMENT
    old = GraphMeasurement(
        model_digest="sha256:0", parameters=9, size_bytes=9, ms_per_image=9, runtime="onnxruntime"
    )
    file.write_text(old.model_dump_json())

    again, _ = run.again("compact")

    assert again.rows[0].onnx_bytes is None


def test_the_test_split_is_shown_beside_and_chooses_nothing(run: Run) -> None:
    write_kermany(run.data, "test", images_per_class=10, seed=500)

    comparison, told = run.again(
        "logistic-regression-hog", "k-nearest-neighbours-pca", split="test"
    )

    assert comparison.splits["test"] == 20
    assert comparison.rows == ranked(list(comparison.rows))
    assert all(value(row, "auroc", "test") > 0.5 for row in comparison.rows)
    assert "AUROC, test" in told
    assert "test_auroc" in pd.read_csv(run.workdir / "comparison.csv").columns


def test_a_network_that_diverges_is_told_and_the_others_are_compared(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> None:
        raise TrainingDiverged("The loss is no longer a number in epoch 1.")

    monkeypatch.setattr("training.lab.compare.train", diverge)

    comparison, _ = run.again("cnn3", "logistic-regression-hog")

    assert [row.name for row in comparison.rows] == ["logistic-regression-hog", "cnn3"]
    assert comparison.rows[1].note == "The loss is no longer a number in epoch 1."
    assert "The loss is no longer a number" in (run.workdir / "comparison.html").read_text()


def test_a_recipe_of_another_size_meets_the_same_images(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "larger.toml"
    larger = TINY_RECIPE.replace("height = 32", "height = 48").replace("width = 32", "width = 48")
    path.write_text(larger.replace('"tiny"', '"larger"'))

    comparison, _ = run.again("compact", str(path))

    splits = [(run.workdir / name / "split.csv").read_text() for name in ("compact", "larger")]
    assert {row.name for row in comparison.rows} == {"compact", "larger"}
    assert all(row.figures["validation"] for row in comparison.rows)
    assert splits[0] == splits[1]


def test_a_folder_with_another_split_is_refused(run: Run) -> None:
    folder = run.workdir / "vgg16"
    folder.mkdir()
    (folder / "split.csv").write_text("path,label,patient,group,split\n")

    with pytest.raises(WorkdirMismatch, match="another split"):
        run.again("vgg16")


def test_without_names_the_own_backbone_meets_every_classical_learner() -> None:
    chosen = choose_candidates(tiny_recipe(), ())

    assert list(chosen) == ["compact", *BASELINES]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["resnet5000"], "There is no candidate 'resnet5000'"),
        (["compact", "cnn3", "other.toml"], "other data or splits"),
        (["twin.toml", "again.toml"], "Two candidates are called twin"),
        (["wide.toml"], "wide cannot be compared: model.border"),
    ],
)
def test_candidates_that_cannot_be_compared_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], message: str
) -> None:
    twin = TINY_RECIPE.replace('name = "tiny"', 'name = "twin"')
    recipes = {
        "other.toml": TINY_RECIPE.replace("validation_share = 0.25", "validation_share = 0.3"),
        "twin.toml": twin,
        "again.toml": twin.replace("dropout = 0.1", "dropout = 0.2"),
        "wide.toml": TINY_RECIPE.replace('name = "tiny"', 'name = "wide"').replace(
            "dropout", "border = 3\ndropout"
        ),
    }
    for name, text in recipes.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(RecipeError, match=message):
        choose_candidates(tiny_recipe(), names)


def test_a_recipe_may_be_a_candidate(tmp_path: Path) -> None:
    path = tmp_path / "narrow.toml"
    path.write_text(TINY_RECIPE.replace('"tiny"', '"narrow"').replace("width = 4", "width = 2"))

    [(name, recipe)] = choose_candidates(tiny_recipe(), [str(path)]).items()

    assert name == "narrow"
    assert recipe is not None
    assert recipe.model.width == 2


def test_only_what_can_start_from_weights_does() -> None:
    model: dict[str, object] = {
        "backbone": "resnet50",
        "weights": "imagenet",
        "standardisation": "imagenet",
    }
    recipe = tiny_recipe(model=model, training={"fine_tuning": FINE_TUNING, "warmup_epochs": 0})
    of_a_file = recipe.with_changes(weights="resnet50.h5")

    assert with_backbone(recipe, "resnet50") is recipe
    assert with_backbone(recipe, "vgg16").model.weights == "imagenet"
    assert with_backbone(recipe, "vgg16").training.fine_tuning is not None
    assert with_backbone(recipe, "compact").model.weights == "none"
    assert with_backbone(recipe, "compact").model.standardisation == "image"
    assert with_backbone(recipe, "compact").training.fine_tuning is None
    assert with_backbone(of_a_file, "vgg16").model.weights == "none"


def test_the_best_has_the_highest_validation_figure_whatever_the_test_says() -> None:
    rows = [
        Row(name="failed", kind="network", note="diverged"),
        row("second", validation=0.8, test=0.9),
        row("first", validation=0.85, test=0.7),
    ]

    assert [row.name for row in ranked(rows)] == ["first", "second", "failed"]


def test_without_a_positive_finding_candidates_are_compared_over_all_classes(
    run: Run, tmp_path: Path
) -> None:
    recipe = tiny_recipe(data={"positive": None})

    comparison = compare(recipe, run.data, tmp_path, ["svm-pca"], Console(quiet=True))

    assert comparison.figures == ("macro_auroc", "balanced_accuracy", "accuracy")
    assert comparison.rows[0].figures["validation"].keys() == set(comparison.figures)


def test_a_rule_that_cannot_be_met_leaves_the_auroc(run: Run, tmp_path: Path) -> None:
    rules = [
        {"label": label, "rule": "coverage", "target": 0.999} for label in ("normal", "pneumonia")
    ]
    recipe = tiny_recipe().model_copy(update={"operating_points": ()})
    recipe = type(recipe).model_validate(recipe.model_dump() | {"operating_points": rules})

    [only] = compare(recipe, run.data, tmp_path, ["svm-pca"], Console(quiet=True)).rows

    assert only.figures["validation"].keys() == {"auroc"}
    assert "too few" in only.note


def test_names_cannot_write_into_the_page() -> None:
    bold = row("<b>bold</b>", validation=0.9)
    comparison = Comparison(
        recipe="tiny",
        dataset="<script>",
        data_digest="sha256:0",
        classes=("normal", "pneumonia"),
        positive="pneumonia",
        splits={"train": 3, "validation": 2},
        figures=("auroc", "sensitivity", "specificity"),
        rows=(bold,),
    )

    page = render_page(comparison, draw_comparison(comparison))

    assert "<script>" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
