from typing import Any

import pytest

from gateway.work import Worker, in_order
from tests.gateway.stack import eventually


def row(uid: str, position: float | None, number: int | None, frames: int = 1) -> dict[str, Any]:
    return {"sop_uid": uid, "facts": {"position": position, "number": number, "frames": frames}}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("a", 3, 1), row("b", 1, 2), row("c", 2, 3)], ["b", "c", "a"]),
        ([row("a", 3, 2), row("b", None, 1)], ["b", "a"]),
        ([row("b", None, None), row("a", None, None), row("c", None, 9)], ["c", "a", "b"]),
    ],
)
def test_slices_are_in_order_by_the_best_that_all_of_them_have(
    rows: list[Any], expected: list[str]
) -> None:
    assert [slice_["sop_uid"] for slice_, _ in in_order(rows)] == expected


def test_the_frames_of_an_enhanced_image_are_slices() -> None:
    assert [frame for _, frame in in_order([row("a", None, 1, 3)])] == [1, 2, 3]  # type: ignore[list-item]


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_a_step_that_fails_is_taken_again(error: type[Exception]) -> None:
    steps: list[int] = []

    def step() -> bool:
        steps.append(len(steps))
        if len(steps) == 1:
            raise error
        return False

    worker = Worker("worker", step)
    worker.start()
    eventually(lambda: len(steps) > 1)
    worker.close()

    assert steps[:2] == [0, 1]
