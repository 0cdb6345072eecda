import math

import pytest

from bench.pace import ClosedLoop, OpenLoop


def test_a_closed_loop_is_due_whenever_it_is_asked() -> None:
    pace = ClosedLoop(stop_s=1)

    assert [pace.due(0.1), pace.due(0.2)] == [0.1, 0.2]
    assert pace.wait_s(0.2) == math.inf


def test_a_closed_loop_ends_with_its_time() -> None:
    pace = ClosedLoop(stop_s=1)

    assert not pace.is_over(0.99)
    assert pace.is_over(1.0)
    assert pace.due(1.0) is None


def test_a_closed_loop_ends_with_its_number_of_requests() -> None:
    pace = ClosedLoop(stop_s=1, max_requests=2)

    assert [pace.due(0.1), pace.due(0.1), pace.due(0.1)] == [0.1, 0.1, None]
    assert pace.is_over(0.1)


def test_an_open_loop_makes_up_for_what_is_late() -> None:
    pace = OpenLoop(rate_per_s=10, stop_s=1)

    due = [pace.due(0.25) for _ in range(4)]

    assert due == [0.0, pytest.approx(0.1), pytest.approx(0.2), None]


def test_an_open_loop_waits_for_the_next_planned_time() -> None:
    pace = OpenLoop(rate_per_s=10, stop_s=1)
    pace.due(0.0)

    assert pace.wait_s(0.04) == pytest.approx(0.06)
    assert pace.wait_s(0.5) == 0


def test_what_an_open_loop_could_not_send_is_overdue() -> None:
    pace = OpenLoop(rate_per_s=10, stop_s=0.5)
    pace.due(0.5 - 1e-9)

    assert pace.is_over(0.5)
    assert pace.overdue() == pytest.approx([0.1, 0.2, 0.3, 0.4])
