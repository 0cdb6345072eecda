from pathlib import Path

import numpy as np
import pytest

from bench.samples import NO_ANSWER, Samples, figures, load, merge, save


def steady(count: int, latency_s: float, statuses: list[int] | None = None) -> Samples:
    """Requests that were due evenly over 10 s, each answered after the same time."""
    intended_s = np.arange(count) * 10 / count
    return Samples(
        intended_s=intended_s,
        finished_s=intended_s + latency_s,
        statuses=np.array(statuses or [200] * count, np.int16),
        start_s=0,
        stop_s=10,
        cpu_s=1,
        wall_s=10,
    )


def test_percentiles_are_those_of_known_latencies() -> None:
    latencies_s = np.arange(1, 1002) / 1000
    samples = Samples(np.zeros(1001), latencies_s, np.full(1001, 200, np.int16), 0, 10, 1, 10)

    found = figures([samples])

    assert found.p50_ms == pytest.approx(501)
    assert found.p99_ms == pytest.approx(991)
    assert found.p999_ms == pytest.approx(1000)
    assert found.max_ms == pytest.approx(1001)


def test_a_tail_of_few_answers_is_not_reported() -> None:
    found = figures([steady(999, 0.01)])

    assert found.p99_ms == pytest.approx(10)
    assert found.p999_ms is None


def test_throughput_counts_good_answers_of_the_window() -> None:
    found = figures([steady(100, 0.001, [200, 429] * 50)])

    assert found.throughput == pytest.approx(5)
    assert found.statuses == {"200": 50, "429": 50}


def test_an_answer_after_the_deadline_is_no_throughput() -> None:
    samples = merge([steady(100, 0.001), steady(100, 2.0)])

    assert figures([samples], deadline_s=1).throughput == pytest.approx(10)


def test_the_warm_up_does_not_count() -> None:
    cold = steady(100, 5.0)
    warm = steady(100, 0.1)
    intended_s = np.concatenate([cold.intended_s - 10, warm.intended_s])
    finished_s = intended_s + np.concatenate([np.full(100, 0.5), np.full(100, 0.1)])
    samples = Samples(intended_s, finished_s, np.full(200, 200, np.int16), 0, 10, 1, 20)

    assert figures([samples]).max_ms == pytest.approx(100)


def test_latencies_of_rounds_are_pooled_and_throughput_is_their_median() -> None:
    found = figures([steady(100, 0.01), steady(200, 0.01), steady(600, 0.03)])

    assert found.throughput == pytest.approx(20, rel=0.02)
    assert found.throughput_by_round == pytest.approx((10, 20, 60), rel=0.02)
    assert found.p50_ms == pytest.approx(30)


def test_without_a_good_answer_there_is_no_latency() -> None:
    found = figures([steady(10, 0.01, [NO_ANSWER] * 10)])

    assert (found.p50_ms, found.max_ms, found.throughput) == (None, None, 0)
    assert found.statuses == {"without answer": 10}


def test_generators_side_by_side_add_up() -> None:
    found = figures([merge([steady(100, 0.01), steady(100, 0.01)])])

    assert found.throughput == pytest.approx(20, rel=0.02)
    assert found.generator_cores == pytest.approx(0.2)


def test_samples_survive_the_way_between_processes(tmp_path: Path) -> None:
    samples = steady(10, 0.01)

    save(samples, tmp_path / "samples.npz")

    assert figures([load(tmp_path / "samples.npz")]) == figures([samples])
