import base64
from dataclasses import replace

import numpy as np
import pytest

from contract.radiograph import decode
from tests.unit.training.report.planted import IMAGES, SIDE, ContextOf
from training.report.examples import PER_KIND, Example, examples


@pytest.fixture
def mixed(context_of: ContextOf) -> list[Example]:
    context = context_of("inside", "inside")
    probabilities = np.array(context.predictions.probabilities)
    # Three images of normal chests: one taken for ill and two that meet no operating point.
    probabilities[[0, 2, 4]] = [[0.1, 0.9], [0.5, 0.5], [0.45, 0.55]]
    return examples(
        replace(context, predictions=replace(context.predictions, probabilities=probabilities))
    )


def pixels(uri: str) -> np.typing.NDArray[np.generic]:
    return decode(base64.b64decode(uri.removeprefix("data:image/png;base64,"))).pixels


def test_hits_misses_and_referred_images_are_shown_for_what_they_are(mixed: list[Example]) -> None:
    of_normal = [example for example in mixed if example.truth == "normal"]

    kinds = [(example.kind, example.path) for example in of_normal[PER_KIND:]]
    assert kinds == [
        ("miss", "patient-0.png"),
        ("referred", "patient-4.png"),
        ("referred", "patient-2.png"),
    ]
    assert [example.kind for example in of_normal[:PER_KIND]] == ["hit"] * PER_KIND
    assert {example.said for example in of_normal if example.kind == "miss"} == {"pneumonia"}


def test_the_surest_come_first(mixed: list[Example]) -> None:
    hits = [example.probability for example in mixed if example.kind == "hit"]

    assert hits[0] >= hits[1]
    assert hits[2] >= hits[3]


def test_an_example_has_its_image_and_the_same_image_under_its_evidence(
    context_of: ContextOf,
) -> None:
    context = context_of("inside", "inside")

    example = examples(context)[-1]

    row = context.paths.tolist().index(example.path)
    shown, with_map = pixels(example.image), pixels(example.heatmap)
    np.testing.assert_array_equal(shown, context.images[row, ..., 0])
    assert with_map.shape == (SIDE, SIDE)
    assert np.abs(with_map.astype(int) - shown).mean() > 5


def test_no_image_gives_no_example(context_of: ContextOf) -> None:
    context = context_of("inside", "inside")
    nothing = np.zeros(IMAGES, dtype=bool)

    empty = replace(
        context, images=context.images[nothing], predictions=context.predictions.of(nothing)
    )

    assert examples(empty) == []
