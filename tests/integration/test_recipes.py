"""Every recipe that ships, made small: its layout, one step, evaluation, export, an answer."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer import Typer
from typer.testing import CliRunner

from export.cli import app as export_app
from service.settings import Settings
from tests.integration.live import serving
from tests.synthetic import as_dicom, as_jpeg, as_png, synthetic_radiograph
from tests.training_data import write_kermany
from training.cli import app as training_app
from training.config import RECIPES, Recipe, read_recipe, write_recipe

# Another recipe goes the same way with the same network and the same kind of data.
ALIKE = (
    "xray-covid",
    "xray-four-class",
    "xray-infection",
    "xray-pneumonia-156",
    "xray-pneumonia-baseline",
    "xray-pneumonia-transfer",
)
IMAGES = 12
SIDE = 64
MANIFEST_HEADER = "path,modality,label,source,patient_id,group,split,licence"


def write_manifests(root: Path, recipe: Recipe) -> None:
    """Every source that the recipe pools, with every label; a third of the images to test."""
    modality = "ct" if recipe.data.kind == "ct-slice" else "xray"
    seed = 0
    for source in recipe.data.sources:
        folder = root / source.folder
        folder.mkdir(exist_ok=True)
        labels = {*source.labels, *recipe.data.classes} - set(source.labels.values())
        rows = [MANIFEST_HEADER]
        for name, label in product(source.only, sorted(map(str, labels))):
            for image in range(IMAGES):
                path, seed = f"{name}-{label}-{image}.png", seed + 1
                (folder / path).write_bytes(as_png(drawn(seed, diseased=label != "normal")))
                split = "test" if image % 3 == 0 else "train"
                rows.append(f"{path},{modality},{label},{name},{path},,{split},CC0")
        (folder / "manifest.csv").write_text("\n".join(rows) + "\n")


def write_both_kermany_splits(root: Path, _recipe: Recipe) -> None:
    write_kermany(root, "train", images_per_class=3 * IMAGES)
    write_kermany(root, "test", images_per_class=IMAGES, seed=900)


LAYOUTS: dict[str, Callable[[Path, Recipe], None]] = {
    "manifest": write_manifests,
    "kermany": write_both_kermany_splits,
}


def drawn(seed: int, *, diseased: bool) -> NDArray[np.uint8]:
    return synthetic_radiograph(40, 40, float(diseased), seed=seed)


def made_small(recipe: Recipe) -> Recipe:
    """One epoch of one step, two shifts, small images, fresh weights; the rest as it ships."""
    size = recipe.preprocessing.model_copy(update={"height": SIDE, "width": SIDE})
    model = recipe.model.model_copy(update={"weights": "none", "width": 4})
    stages = recipe.training.fine_tuning
    training = recipe.training.model_copy(
        update={
            "epochs": 1,
            "warmup_epochs": 0.0,
            "batch_size": 4,
            "images_per_epoch": 4,
            "fine_tuning": stages and stages.model_copy(update={"head_epochs": 0}),
        }
    )
    split = recipe.split.model_copy(update={"validation_share": 0.3, "near_duplicate_bits": 0})
    shifts = recipe.calibration.shifts[:2]
    parts = {
        "preprocessing": size,
        "model": model,
        "training": training,
        "split": split,
        "calibration": recipe.calibration.model_copy(update={"shifts": shifts}),
    }
    return recipe.model_copy(update=parts)


def run(app: Typer, *arguments: object) -> None:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


@pytest.fixture(
    params=[
        pytest.param(path.stem, marks=pytest.mark.slow if path.stem in ALIKE else ())
        for path in sorted(RECIPES.glob("*.toml"))
    ]
)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return read_recipe(request.param)


def test_a_recipe_goes_all_the_way_to_an_answer(recipe: Recipe, tmp_path: Path) -> None:
    data, workdir, models = (tmp_path / name for name in ("data", "workdir", "models"))
    data.mkdir()
    LAYOUTS[recipe.data.sources[0].adapter](data, recipe)
    write_recipe(tmp_path / "small.toml", made_small(recipe), "For a test.")
    of = ("--workdir", workdir, "--data", data)

    run(training_app, "fit", "--recipe", tmp_path / "small.toml", *of)
    run(training_app, "evaluate", *of)
    run(export_app, "convert", *of, "--models", models)

    with serving(Settings(port=0, provider="cpu", models_dir=models)) as service:
        by_name = service.predict(as_jpeg(drawn(7, diseased=True)), model=recipe.name).json()
        modality = "CT" if recipe.data.kind == "ct-slice" else "DX"
        by_modality = service.predict(as_dicom(drawn(7, diseased=True), Modality=modality)).json()
    for answer in (by_name, by_modality):
        assert answer["model"]["name"] == recipe.name
        [result] = answer["results"]
        assert [finding["label"] for finding in result["findings"]] == list(recipe.data.classes)
        assert result["quality"]["checks"]
        assert result["out_of_distribution"]["limit"] > 0
        if recipe.calibration.by_source:
            # So few images show nothing.
            assert "not shown to tell its findings apart" in result["evidence"]["sentence"]
            assert "no_evidence" in result["reasons"]
