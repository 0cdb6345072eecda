"""How many CPUs this process may use, which in a container is not what the host has."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = CGROUP) -> int:
    """Count the CPUs that the affinity mask and the cgroup quota, version 1 or 2, leave."""
    affinity = len(os.sched_getaffinity(0))
    v1 = (_read(cgroup / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    fields = _read(cgroup / "cpu.max").split() or list(v1)
    # Where no quota is set it is "max" in version 2, and -1 in version 1.
    if len(fields) != 2 or not all(map(str.isdigit, fields)) or int(fields[1]) == 0:
        return affinity
    return max(1, min(affinity, math.ceil(int(fields[0]) / int(fields[1]))))


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
