import os
from pathlib import Path

import pytest

from service.machine import available_cpus, decode_memory, gains_by_int8, plain_memory


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.parametrize(
    ("cpu_max", "cpus"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1600000 100000", 8),
        ("max 100000", 8),
        ("200000 0", 8),
        ("", 8),
        (None, 8),
    ],
)
def test_a_quota_of_cgroup_2_counts(tmp_path: Path, cpu_max: str | None, cpus: int) -> None:
    if cpu_max is not None:
        (tmp_path / "cpu.max").write_text(cpu_max + "\n")

    assert available_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("300000", 3), ("-1", 8)])
def test_a_quota_of_cgroup_1_counts(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")

    assert available_cpus(tmp_path) == cpus


def test_a_machine_that_names_no_flags_runs_fp32(tmp_path: Path) -> None:
    assert not gains_by_int8(tmp_path / "nothing")


def test_decoders_may_take_what_the_cgroup_leaves(tmp_path: Path) -> None:
    def budget_of(limit: str) -> int:
        (tmp_path / "memory.max").write_text(limit)
        return decode_memory(2, tmp_path)

    assert budget_of("max") == budget_of("8000000000") == 1_000_000_000
    assert budget_of("1200000000") == 700_000_000
    assert 0 <= budget_of("600000000") <= 500_000_000
    assert budget_of("1000") == 0


@pytest.mark.parametrize(
    ("threads", "plain", "decoders"),
    [
        (1, 100_000_000, 1_000_000_000),
        (2, 100_000_000, 1_000_000_000),
        (4, 87_500_000, 850_000_000),
        (64, 5_468_750, 850_000_000),
    ],
)
def test_more_threads_take_no_more_memory(
    tmp_path: Path, threads: int, plain: int, decoders: int
) -> None:
    assert plain_memory(threads) == plain
    assert decode_memory(threads, tmp_path) == pytest.approx(decoders)
