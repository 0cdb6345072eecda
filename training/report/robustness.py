"""How a model's figures fall when the images get worse, level by level.

``training.degradations`` has the faults that the quality gate is measured against; these levels
begin where an image still looks sound, and go on to where it does not.

Source: Hendrycks 2019, Benchmarking Neural Network Robustness to Common Corruptions.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from contract.manifest import Metric
from contract.pixels import resize
from contract.radiograph import decode
from training.degradations import Degradation, blurred, degraded, inverted, noisy, rotated
from training.report.checks import Check, Outcome, Point
from training.report.material import Material
from training.report.tables import title

MAX_IMAGES = 300

Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Course:
    """A degradation with its heading, and the level at which the image would stay as it is."""

    title: str
    identity: float
    degradation: Degradation

    @property
    def levels(self) -> list[float]:
        """All levels with the identity, rising."""
        return sorted((self.identity, *self.degradation.levels))


def exposed(plane: Plane, gamma: float, _random: Generator) -> Plane:
    """Raise the grays, as shares of white, to a power: above 1 is darker."""
    return np.rint(255 * np.linspace(0, 1, 256) ** gamma).astype(np.uint8)[plane]


def recompressed(plane: Plane, quality: float, _random: Generator) -> Plane:
    """Write as JPEG of that quality, and read again."""
    file = io.BytesIO()
    Image.fromarray(plane).save(file, "JPEG", quality=int(quality))
    return decode(file.getvalue()).pixels


def coarsened(plane: Plane, share: float, _random: Generator) -> Plane:
    """Shrink to that share of the sides, and enlarge again."""
    height, width = plane.shape
    small = resize(plane, (max(1, round(share * height)), max(1, round(share * width))))
    return resize(small, (height, width))


COURSES = (
    Course(
        "Noise",
        0,
        Degradation("noise", "Noise: standard deviation in grays", (5, 10, 20, 40), noisy),
    ),
    Course(
        "Blur",
        0,
        Degradation("blur", "Blur: standard deviation in pixels", (0.5, 1, 2, 3), blurred),
    ),
    Course(
        "Exposure",
        1,
        Degradation("gamma", "Gamma: above 1 is darker", (0.4, 0.7, 1.5, 2.5), exposed),
    ),
    Course(
        "Rotation",
        0,
        Degradation("rotation", "Rotation in degrees, to either side", (5, 15, 30, 60), rotated),
    ),
    Course(
        "JPEG compression",
        100,
        Degradation("jpeg", "JPEG quality (100: none)", (5, 10, 25, 50), recompressed),
    ),
    Course(
        "Resolution",
        1,
        Degradation("resolution", "Resolution: share of the side", (0.1, 0.2, 0.5), coarsened),
    ),
    Course("Inversion", 0, Degradation("inversion", "Inversion (1: inverted)", (1,), inverted)),
)


def robustness_checks() -> tuple[Check, ...]:
    """A check for each degradation, so that a killed report loses one of them at most."""
    return tuple(
        Check(
            name=f"robustness-{course.degradation.name}",
            title=course.title,
            run=partial(under_degradation, course),
        )
        for course in COURSES
    )


def under_degradation(course: Course, material: Material) -> Outcome:
    """Ask the model of the same images at every level, at most 300 of them."""
    points = tuple(_points(course, material))
    known = [point.auroc for point in points if point.auroc is not None]
    axis = course.degradation.axis
    if not known:
        return Outcome(summary="The images are of one class.", points=points, axis=axis)
    unchanged = known[course.levels.index(course.identity)]
    worst = min(points, key=lambda point: point.auroc.value)
    return Outcome(
        summary=(
            f"{title(material.headline)} on {unchanged.images} images: "
            f"{unchanged.value:.3f} unchanged, {worst.auroc.value:.3f} at the worst level, "
            f"{worst.level:g}."
        ),
        metrics=(worst.auroc,),
        points=points,
        axis=axis,
    )


def _points(course: Course, material: Material) -> Iterator[Point]:
    degradation = course.degradation
    rows = material.sample(MAX_IMAGES)
    images = np.asarray(material.images[rows])
    for level in course.levels:
        predictions = material.predictions.of(rows)
        if level != course.identity:
            random = np.random.default_rng(material.seed)
            predictions = material.answers_to(degraded(images, degradation, level, random), rows)
        figures = material.figures(predictions, f"under_{degradation.name}_{level:g}")
        yield Point(
            level=level,
            auroc=_named(figures, material.headline),
            accuracy=_named(figures, "accuracy"),
        )


def _named(figures: tuple[Metric, ...], name: str) -> Metric | None:
    return next((metric for metric in figures if metric.name.endswith(f"_{name}")), None)
