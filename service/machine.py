"""What the machine has for this process: CPUs, what they are good at, and memory."""

import math
import os
from pathlib import Path
from typing import Literal

Provider = Literal["auto", "cuda", "cpu"]
CGROUP = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")
_INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni"})
_MEMORY_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
_SERVICE_BYTES = 500_000_000
# What all decoders, and all threads with their plain files, may take; both, and one thread.
_DECODE_BYTES, _PLAIN_BYTES = 1_000_000_000, 350_000_000
_BOTH_BYTES, _THREAD_BYTES = 1_200_000_000, 100_000_000
_RESERVE_BYTES = 64 * 1024 * 1024


def available_cpus(cgroup: Path = CGROUP) -> int:
    """Count the CPUs that the affinity mask and the cgroup quota, version 1 or 2, leave."""
    affinity = len(os.sched_getaffinity(0))
    v1 = (_read(cgroup / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    fields = _read(cgroup / "cpu.max").split() or list(v1)
    # Where no quota is set it is "max" in version 2, and -1 in version 1.
    if len(fields) != 2 or not all(map(str.isdigit, fields)) or int(fields[1]) == 0:
        return affinity
    return max(1, min(affinity, math.ceil(int(fields[0]) / int(fields[1]))))


def gains_by_int8(cpuinfo: Path = CPUINFO) -> bool:
    """Whether this CPU multiplies 8-bit integers fast, by its flags: a restart changes nothing."""
    lines = _read(cpuinfo).splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _INT8_FLAGS.isdisjoint(flags.split())


def plain_memory(threads: int) -> int:
    """How many bytes a plain file may take in one of so many threads; a larger one is not plain.

    The service stays below 2 GB however many there are.
    """
    return min(_THREAD_BYTES, _PLAIN_BYTES // threads)


def decode_memory(threads: int, cgroup: Path = CGROUP) -> int:
    """How many bytes all decoders may take together, where no setting says it.

    The cgroup's limit less 500 MB for the service, at most 1 GB; in a small cgroup what the
    service, which has loaded its models, leaves. Many threads with plain files leave less.
    """
    most = min(_DECODE_BYTES, _BOTH_BYTES - threads * plain_memory(threads))
    limits = [text for name in _MEMORY_LIMITS if (text := _read(cgroup / name)).isdigit()]
    if not limits:
        return most
    limit = min(map(int, limits))
    pages = int(_read(Path("/proc/self/statm")).split()[1])
    left = limit - pages * os.sysconf("SC_PAGE_SIZE") - _RESERVE_BYTES
    budget = max(limit - _SERVICE_BYTES, min(left, _SERVICE_BYTES))
    return max(0, min(most, budget))


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
