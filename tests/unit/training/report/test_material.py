from dataclasses import replace

import numpy as np

from tests.unit.training.report.planted import IMAGES, MaterialOf


def test_a_sample_keeps_the_share_of_each_class_of_each_source(material_of: MaterialOf) -> None:
    sources = np.where(np.arange(IMAGES) < 40, "large", "small")
    material = material_of("inside", "inside", sources=sources)

    rows = material.sample(15)

    assert len(np.unique(rows)) == 15
    assert (sources[rows] == "large").sum() == 10
    assert abs((material.predictions.classes[rows] == 1).sum() - 7.5) < 1
    assert (rows == material.sample(15)).all()
    assert (rows != replace(material, seed=1).sample(15)).any()


def test_a_sample_that_may_be_larger_than_the_set_is_the_set(material_of: MaterialOf) -> None:
    assert material_of("inside", "inside").sample(1000).tolist() == list(range(IMAGES))


def test_answers_to_changed_images_keep_the_truth(material_of: MaterialOf) -> None:
    material = material_of("inside", "inside")
    rows = np.array([1, 5])

    answers = material.answers_to(np.zeros_like(material.images[rows]), rows)

    assert answers.classes.tolist() == [1, 1]
    assert answers.patients.tolist() == ["patient-1", "patient-5"]
    assert (answers.probabilities.argmax(axis=1) == 0).all()
