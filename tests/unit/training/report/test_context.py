from dataclasses import replace

import numpy as np

from tests.unit.training.report.planted import IMAGES, ContextOf


def test_a_sample_keeps_the_share_of_each_class_of_each_source(context_of: ContextOf) -> None:
    sources = np.where(np.arange(IMAGES) < 40, "large", "small")
    context = context_of("inside", "inside", sources=sources)

    rows = context.sample(15)

    assert len(np.unique(rows)) == 15
    assert (sources[rows] == "large").sum() == 10
    assert abs((context.predictions.classes[rows] == 1).sum() - 7.5) < 1
    assert (rows == context.sample(15)).all()
    assert (rows != replace(context, seed=1).sample(15)).any()


def test_a_sample_that_may_be_larger_than_the_set_is_the_set(context_of: ContextOf) -> None:
    assert context_of("inside", "inside").sample(1000).tolist() == list(range(IMAGES))
