"""A small data set in the layout of Kermany 2018, without a patient, and a recipe to match."""

import tomllib
from pathlib import Path

from contract.findings import Label
from contract.manifest import Finding, Metric
from tests.synthetic import as_jpeg, synthetic_radiograph
from training.calibrate import Calibration
from training.config import Recipe

SIDE = 40
OPACITY = {"NORMAL": 0.0, "PNEUMONIA": 1.0}

TINY_RECIPE = """
name = "tiny"
seed = 3

[data]
classes = ["normal", "pneumonia"]
positive = "pneumonia"

[[data.sources]]
adapter = "kermany"

[split]
validation_share = 0.25
near_duplicate_bits = 0

[preprocessing]
height = 32
width = 32

[model]
backbone = "compact"
width = 4
dropout = 0.1
standardisation = "image"

[augmentation]
rotation_degrees = 5
noise_probability = 0.3
erase_probability = 0.3

[training]
epochs = 2
batch_size = 8
learning_rate = 1e-2
weight_decay = 1e-3
label_smoothing = 0.05
ema_momentum = 0.9
patience = 20

[[operating_points]]
label = "pneumonia"
rule = "sensitivity"
target = 0.9

[[operating_points]]
label = "normal"
rule = "specificity"
target = 0.9
"""


def findings(*points: tuple[str, float], activation_scale: float = 1) -> tuple[Finding, ...]:
    """Findings with these labels and operating points."""
    return tuple(
        Finding.model_validate(
            {
                "label": label,
                "operating_point": point,
                "operating_point_rule": "for the test",
                "activation_scale": activation_scale,
            }
        )
        for label, point in points
    )


def metric(
    name: str, value: float = 0.5, label: Label | None = None, source: str | None = None
) -> Metric:
    """A figure of some images, with an interval of a tenth to both sides."""
    bounds = {"value": value, "lower": value - 0.1, "upper": value + 0.1}
    return Metric(dataset="planted", name=name, images=1200, label=label, source=source, **bounds)


CALIBRATION = Calibration(
    temperature=1.5,
    loss_before=0.3,
    loss_after=0.2,
    validation_images=4,
    shifts=("none",),
    findings=findings(("normal", 0.5), ("pneumonia", 0.5), activation_scale=1e-3),
)


def tiny_recipe(**parts: dict[str, object]) -> Recipe:
    """The recipe, with some values of its parts replaced: ``tiny_recipe(model={"width": 8})``."""
    values = tomllib.loads(TINY_RECIPE)
    for part, changes in parts.items():
        values[part] = {**values.get(part, {}), **changes}
    return Recipe.model_validate(values)


def write_kermany(root: Path, split: str, images_per_class: int, seed: int = 0) -> Path:
    """Write one upstream folder of synthetic radiographs, two of each patient.

    Returns:
        The folder ``chest_xray``.
    """
    home = root / "chest_xray"
    for name, opacity in OPACITY.items():
        folder = home / split / name
        folder.mkdir(parents=True)
        for number in range(images_per_class):
            radiograph = synthetic_radiograph(SIDE, SIDE, opacity, seed=seed)
            (folder / _file_name(name, number)).write_bytes(as_jpeg(radiograph))
            seed += 1
    return home


def _file_name(label: str, number: int) -> str:
    patient = number // 2 + 1
    if label == "NORMAL":
        return f"IM-{patient:04d}-{number % 2 + 1:04d}.jpeg"
    return f"person{patient}_bacteria_{number + 1}.jpeg"
