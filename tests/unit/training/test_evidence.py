"""The last layer of each source, and what was shown of it."""

import keras
import numpy as np
import pytest
from scipy.special import softmax

from training.evidence import Embedded, SourceEvidence, SourceHeads, fit_heads

POOLED = np.zeros((3, 2)), np.zeros(2)


def images(count: int = 200, *, seed: int = 0) -> Embedded:
    """Two hospitals whose signs of the finding are opposite, and one that has the finding alone."""
    random = np.random.default_rng(seed)
    owners = np.arange(count) % 3
    classes = np.where(owners == 2, 1, random.integers(2, size=count))
    features = random.normal(size=(count, 3)).astype(np.float32)
    features[:, 2] += np.where(owners == 0, 2, -2) * (2 * classes - 1)
    patients = np.arange(count).astype(np.str_)
    return Embedded(features, np.zeros((count, 1)), classes, owners, patients)


@pytest.fixture(scope="module")
def heads() -> SourceHeads:
    return fit_heads(
        images(), images(seed=1), POOLED, sources=3, general=2, least_auroc=0.65, seed=0
    )


def test_each_source_is_answered_by_what_tells_its_own_findings_apart(heads: SourceHeads) -> None:
    asked = images(3000, seed=2)

    logits = heads.logits(asked.features, asked.owners)

    # A source of one finding shows nothing.
    assert heads.shown.tolist() == [[True, True], [True, True], [False, False]]
    right, probability = logits.argmax(axis=1) == asked.classes, softmax(logits, axis=1)[:, 1]
    swapped = heads.logits(asked.features, 1 - asked.owners.clip(max=1)).argmax(axis=1)
    for here in (asked.owners == source for source in (0, 1)):
        assert right[here].mean() > 0.9
        assert (swapped == asked.classes)[here].mean() < 0.1
        # Calibrated.
        assert abs(probability[here].mean() - asked.classes[here].mean()) < 0.05


def test_the_pooled_layer_stays_where_no_feature_is_general() -> None:
    kept = fit_heads(
        images(), images(seed=1), POOLED, sources=3, general=0, least_auroc=0.65, seed=0
    )

    assert not kept.weights.any()
    assert not kept.shown.any()


def test_the_graph_takes_the_layer_of_the_nearest_source(heads: SourceHeads) -> None:
    asked = images(6, seed=4)
    far = np.array([1.5, 2.0, 2.5], np.float32)
    distances = np.where(np.arange(3) == asked.owners[:, np.newaxis], 0.5, far).astype(np.float32)
    places = np.repeat(asked.features[:, np.newaxis, np.newaxis], 2, axis=1)

    found = SourceEvidence(heads)(places, distances)

    evidence = np.asarray(keras.ops.convert_to_numpy(found))
    assert evidence.shape == (6, 2, 1, 2)
    expected = heads.logits(asked.features, asked.owners)
    np.testing.assert_allclose(evidence.mean(axis=(1, 2)), expected, rtol=1e-4, atol=1e-5)


def test_a_finding_that_a_source_lacks_is_said_as_the_pooled_layer_says_it() -> None:
    """So an image of it is referred there, and not given one of the source's own findings."""
    pooled = np.array([[-5.0, -5.0, 5.0], [0, 0, 0], [0, 0, 0]]), np.array([0.0, 0, -10])
    seen = [images(seed=seed) for seed in (0, 1)]
    for part in seen:
        part.features[:, 0] = 0
    three = fit_heads(seen[0], seen[1], pooled, sources=3, general=2, least_auroc=0.65, seed=0)
    asked = images(30, seed=2)
    asked.features[:, 0] = 3

    said = three.logits(asked.features, np.zeros(30, np.int64)).argmax(axis=1)
    own = three.logits(seen[1].features, np.zeros(200, np.int64)).argmax(axis=1)

    assert (said == 2).all()
    assert not (own == 2).any()
    assert three.shown.tolist() == [[True, True, False], [True, True, False], [False] * 3]
