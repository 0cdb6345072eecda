import json

import pytest

from bench.answers import probabilities

OURS = {"results": [{"findings": [{"probability": 0.3}, {"probability": 0.7}]}]}


@pytest.mark.parametrize(
    "answer",
    [OURS, {"probabilities": [0.3, 0.7]}, [{"probabilities": [0.3, 0.7]}]],
    ids=["ours", "peer", "batched peer"],
)
def test_probabilities_are_found_in_every_kind_of_answer(answer: object) -> None:
    assert probabilities(json.dumps(answer).encode()) == [0.3, 0.7]
