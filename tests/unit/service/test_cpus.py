import os
from pathlib import Path

import pytest

from service.cpus import available_cpus


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.parametrize(
    ("file", "cpus"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1600000 100000", 8),
        ("max 100000", 8),
        ("200000 0", 8),
        ("", 8),
    ],
)
def test_a_quota_of_cgroup_2_counts(tmp_path: Path, file: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(file + "\n")

    assert available_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("300000", 3), ("-1", 8)])
def test_a_quota_of_cgroup_1_counts(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")

    assert available_cpus(tmp_path) == cpus


def test_without_a_cgroup_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "nowhere") == 8
