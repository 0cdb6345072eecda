import numpy as np
import pytest

from tests.synthetic import synthetic_radiograph
from tests.unit.training.report.planted import MaterialOf
from training.degradations import degraded
from training.report.robustness import COURSES, Course, robustness_checks, under_degradation

BY_TITLE = {course.title: course for course in COURSES}


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.title)
def test_an_image_changes_more_the_further_a_level_lies_from_the_identity(course: Course) -> None:
    images = synthetic_radiograph(64, 64)[np.newaxis, ..., np.newaxis]
    changes = {course.identity: 0.0}

    for level in course.degradation.levels:
        random = np.random.default_rng(0)
        changed = degraded(images, course.degradation, level, random)
        changes[level] = np.abs(changed.astype(float) - images).mean()

    below = [changes[level] for level in course.levels if level <= course.identity]
    above = [changes[level] for level in course.levels if level >= course.identity]
    assert below == sorted(below, reverse=True)
    assert above == sorted(above)
    assert max(changes.values()) > 1


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.title)
def test_each_level_of_a_course_is_there_once(course: Course) -> None:
    assert len(set(course.levels)) == len(course.degradation.levels) + 1


def test_a_model_that_reads_brightness_is_wrong_on_inverted_images(
    material_of: MaterialOf,
) -> None:
    outcome = under_degradation(BY_TITLE["Inversion"], material_of("inside", "inside"))

    unchanged, inverted = outcome.points
    assert unchanged.auroc is not None
    assert inverted.auroc is not None
    assert unchanged.auroc.value > 0.95
    assert inverted.auroc.value < 0.05
    assert [metric.name for metric in outcome.metrics] == ["under_inversion_1_auroc"]


def test_images_of_one_class_have_an_accuracy_but_no_auroc(material_of: MaterialOf) -> None:
    material = material_of("inside", "inside")
    material.predictions.classes[:] = 1

    outcome = under_degradation(BY_TITLE["Noise"], material)

    assert all(point.auroc is None for point in outcome.points)
    assert not outcome.metrics


def test_each_degradation_is_a_check_of_its_own() -> None:
    names = [check.name for check in robustness_checks()]

    assert len(set(names)) == len(COURSES)
