"""How many CPUs this process may use, which in a container is not what the host has."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = CGROUP) -> int:
    """Count the CPUs that the affinity mask and the cgroup quota, version 1 or 2, leave."""
    affinity = len(os.sched_getaffinity(0))
    quota = _quota_v2(cgroup) or _quota_v1(cgroup)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def _quota_v2(cgroup: Path) -> float | None:
    fields = _read(cgroup / "cpu.max").split()
    return _ratio(*fields) if len(fields) == 2 else None


def _quota_v1(cgroup: Path) -> float | None:
    cpu = cgroup / "cpu"
    return _ratio(_read(cpu / "cpu.cfs_quota_us"), _read(cpu / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """CPUs, or None where no quota is set: "max" in version 2, -1 in version 1."""
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
