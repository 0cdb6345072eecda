import numpy as np
from numpy.typing import NDArray

from tests.unit.training.report.planted import IMAGES, MaterialOf
from training.report.material import Images
from training.report.probes import CHANCE, NAME, cross_validated, source_probe, with_enough_groups

# Both sources have images of both classes.
SOURCES = np.where(np.arange(IMAGES) // 2 % 2, "here", "there")
PLANTED = (SOURCES == "here").astype(np.float32)


def readable(images: Images) -> NDArray[np.float32]:
    told: NDArray[np.float32] = silent(images) + 3 * PLANTED[:, np.newaxis]
    return told


def silent(images: Images) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 1, (len(images), 8)).astype(np.float32)


def test_a_source_that_the_features_carry_is_exposed(material_of: MaterialOf) -> None:
    material = material_of("inside", "inside", sources=SOURCES, features=readable)

    metrics = {(m.name, m.label): m.value for m in source_probe(material).metrics}

    assert metrics[NAME, None] > 0.95
    assert metrics[NAME, "normal"] > 0.9
    assert metrics[NAME, "pneumonia"] > 0.9
    assert metrics[CHANCE, None] == 0.5


def test_features_that_say_nothing_of_the_source_do_no_better_than_guessing(
    material_of: MaterialOf,
) -> None:
    material = material_of("inside", "inside", sources=SOURCES, features=silent)

    metrics = {(m.name, m.label): m for m in source_probe(material).metrics}

    assert metrics[NAME, None].lower < 0.5 < metrics[NAME, None].upper


def test_a_source_that_goes_with_the_class_is_not_probed_within_a_class(
    material_of: MaterialOf,
) -> None:
    by_class = np.where(np.arange(IMAGES) % 2, "here", "there")
    material = material_of("inside", "inside", sources=by_class, features=readable)

    labels = {metric.label for metric in source_probe(material).metrics}

    assert labels == {None}


def test_one_source_leaves_nothing_to_tell_apart(material_of: MaterialOf) -> None:
    outcome = source_probe(material_of("inside", "inside"))

    assert not outcome.has_figures
    assert "one source" in outcome.summary


def test_the_learner_is_never_asked_of_a_patient_that_it_was_fitted_to() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat([f"patient-{number}" for number in range(20)], 4)
    targets = np.repeat(random.integers(0, 2, 20), 4)
    # Each patient has an unmistakable face, which says nothing of any other patient.
    faces = np.repeat(random.normal(0, 1, (20, 40)), 4, axis=0).astype(np.float32)

    probabilities = cross_validated(faces, targets, groups, outputs=2, seed=0)

    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == targets).mean() < 0.8


def test_a_target_with_four_groups_is_not_enough_for_five_folds() -> None:
    targets = np.array(["many"] * 5 + ["few"] * 8)
    groups = np.array(list("abcde") + list("ffgghhii"))

    assert with_enough_groups(targets, groups).tolist() == [True] * 5 + [False] * 8
