from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.quality import Limit, QualityLimits
from tests.synthetic import synthetic_radiograph
from training.degradations import DEGRADATIONS
from training.metrics import Estimate
from training.quality_report import (
    Fault,
    GatedModel,
    Level,
    QualityReport,
    draw_quality,
    report_quality,
)

SIDE = 32
COUNT = 12
TRUTH = np.array([0, 1] * (COUNT // 2))
# Refuses what is dark, and what is as bright as nothing else is.
LIMITS = QualityLimits(limits=(Limit(check="exposure", lower=0.1, upper=0.99),))


def by_brightness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A model that takes every image above a middle gray for the second class."""
    second = (images.mean(axis=(1, 2, 3)) > 110).astype(np.float32)
    return np.stack([1 - second, second], axis=1)


@pytest.fixture(scope="module")
def report() -> QualityReport:
    planes = [synthetic_radiograph(SIDE, SIDE, seed=number) // 2 for number in range(COUNT)]
    images = np.stack(planes)[..., np.newaxis] + (TRUTH * 80).astype(np.uint8)[:, None, None, None]
    patients = np.array([f"patient {number}" for number in range(COUNT)])
    return report_quality(GatedModel(by_brightness, LIMITS, images, TRUTH, patients), seed=0)


def test_the_images_as_they_are_come_first(report: QualityReport) -> None:
    assert report.images == COUNT
    assert report.accuracy.value == 1
    assert report.refused.value == report.refused_by["exposure"] == 0


def test_every_fault_is_tried_in_every_amount(report: QualityReport) -> None:
    assert [(fault.name, len(fault.levels)) for fault in report.faults] == [
        (fault.name, len(fault.levels)) for fault in DEGRADATIONS
    ]


def test_a_level_that_costs_accuracy_is_harmful_and_may_be_caught(report: QualityReport) -> None:
    dark = next(fault for fault in report.faults if fault.name == "dark")

    worst = dark.levels[-1]
    assert worst in dark.harmful(report.accuracy.value)
    assert worst.accuracy.value == 0.5
    assert worst.caught.value == 1
    assert worst.caught.lower == worst.caught.upper == 1


def test_a_level_that_costs_nothing_is_not_harmful(report: QualityReport) -> None:
    blur = next(fault for fault in report.faults if fault.name == "blur")

    assert blur.harmful(report.accuracy.value) == ()
    assert all(level.caught.value == 0 for level in blur.levels)


def test_a_report_survives_json(report: QualityReport) -> None:
    assert QualityReport.model_validate_json(report.model_dump_json()) == report


def test_the_plot_is_written(report: QualityReport, tmp_path: Path) -> None:
    draw_quality(tmp_path / "quality.png", report)

    assert (tmp_path / "quality.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("caught", "limit"), [((0, 0.2, 0.8), 1.5), ((0, 0.1, 0.2), None), ((0.6, 0.8, 1), 0.0)]
)
def test_the_limit_is_drawn_where_half_of_the_images_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caught: tuple[float, ...], limit: float | None
) -> None:
    drawn: list[list[float | None]] = []
    monkeypatch.setattr(
        "training.quality_report.draw_curves", lambda _path, _panels, limits: drawn.append(limits)
    )
    none, *levels = (Estimate(value, value, value) for value in caught)
    fault = Fault(
        name="blur",
        axis="blur",
        levels=tuple(
            Level(level=amount, accuracy=none, caught=share)
            for amount, share in enumerate(levels, 1)
        ),
    )
    report = QualityReport(
        images=COUNT, accuracy=none, refused=none, refused_by={}, faults=(fault,)
    )

    draw_quality(tmp_path / "plot.png", report)

    assert drawn == [[pytest.approx(limit) if limit is not None else None]]
