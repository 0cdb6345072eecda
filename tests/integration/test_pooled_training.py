"""A recipe of several sources: its drawn test split, and the source that it leaves out."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.synthetic import as_png, synthetic_radiograph
from tests.training_data import TINY_RECIPE
from training.cli import app
from training.workdir import load_trained

HEADER = "path,modality,label,source,patient_id,group,split,licence"
OPACITY = {"normal": 0.0, "pneumonia": 0.6, "tuberculosis": 1.0}
IMAGES_PER_SOURCE = {"north": 16, "south": 16, "east": 4}

DATA = """
classes = ["normal", "pneumonia", "tuberculosis"]

[[data.sources]]
adapter = "manifest"
"""


def train(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pool")
    rows = [HEADER]
    for source, images in IMAGES_PER_SOURCE.items():
        for label, opacity in OPACITY.items():
            for number in range(images):
                name = f"{source}-{label}-{number}.png"
                seed = len(rows)
                (root / name).write_bytes(as_png(synthetic_radiograph(40, 40, opacity, seed=seed)))
                split = "test" if number % 5 == 4 else "train"
                rows.append(f"{name},xray,{label},{source},{source}-{number // 2},,{split},CC0")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    start, end = TINY_RECIPE.index("classes = "), TINY_RECIPE.index("[split]")
    text = TINY_RECIPE[:start] + DATA.lstrip() + "\n" + TINY_RECIPE[end:]
    text = text.replace("[split]", "[split]\ntest_share = 0.25")
    text = text.replace("batch_size = 8", 'batch_size = 8\nsampling = "balanced-sources"')
    rule = '\n[[operating_points]]\nlabel = "tuberculosis"\nrule = "specificity"\ntarget = 0.9\n'
    path = tmp_path_factory.mktemp("recipe") / "pooled.toml"
    path.write_text(text + rule)
    return path


@pytest.fixture(scope="module")
def workdir(recipe: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "pooled"
    train("fit", "--recipe", recipe, "--data", data, "--workdir", folder, "--leave-out", "east")
    return folder


def split_table(workdir: Path) -> list[dict[str, str]]:
    with (workdir / "split.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_three_splits_are_drawn_and_share_no_patient(workdir: Path) -> None:
    rows = split_table(workdir)

    sides = [
        {row["patient"] for row in rows if row["split"] == split}
        for split in ("train", "validation", "test")
    ]
    assert all(sides)
    assert len(set.union(*sides)) == sum(map(len, sides))
    assert {row["source"] for row in rows} == {"north", "south"}
    origin = load_trained(workdir).provenance
    assert (origin.dataset, origin.licence) == ("pooled images: north, south", "CC0")


def test_the_drawn_test_split_is_evaluated(workdir: Path, data: Path) -> None:
    train("evaluate", "--workdir", workdir, "--data", data)

    evaluation = json.loads((workdir / "evaluation.json").read_text())
    drawn = [row for row in split_table(workdir) if row["split"] == "test"]
    assert evaluation["images"] == len(drawn) > 0
    assert evaluation["metrics"][0]["dataset"] == "pooled images: north, south, test"
    with (workdir / "predictions-test.csv").open(newline="") as file:
        assert {row["path"] for row in csv.DictReader(file)} == {row["path"] for row in drawn}


def test_the_source_that_was_left_out_is_evaluated_whole(workdir: Path, data: Path) -> None:
    train("evaluate", "--workdir", workdir, "--data", data, "--split", "left-out")

    evaluation = json.loads((workdir / "evaluation-left-out.json").read_text())
    assert evaluation["images"] == 3 * IMAGES_PER_SOURCE["east"]
    with (workdir / "predictions-left-out.csv").open(newline="") as file:
        assert all(row["path"].startswith("east-") for row in csv.DictReader(file))
