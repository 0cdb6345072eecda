"""Processes and their descendants, as /proc tells of them.

Source: proc_pid_stat(5), proc_pid_smaps(5).
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat, counted from the one after the command's name.
_STATE, _PARENT, _USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM, _BEGAN = 0, 1, 11, 12, 13, 14, 19


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process for sure: a number is given away again, but not with the same start time."""

    pid: int
    began: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in memory: of each process for itself, and with shared pages shared out."""

    resident: int
    proportional: int


def tree(root: int) -> frozenset[ProcessId]:
    """A process and all that descend from it; empty where it has ended."""
    stats = _all_stats()
    found = {root} & stats.keys()
    added = found
    while added:
        added = {pid for pid, stat in stats.items() if int(stat[_PARENT]) in added} - found
        found = found | added
    return frozenset(ProcessId(pid, int(stats[pid][_BEGAN])) for pid in found)


def is_running(process: ProcessId) -> bool:
    """Whether it is still there, and not only waiting to be collected by its parent."""
    stat = _stat(process.pid)
    return stat is not None and int(stat[_BEGAN]) == process.began and stat[_STATE] != "Z"


def cpu_s(processes: Iterable[ProcessId]) -> float:
    """CPU time that processes spent, with that of their children who have ended, in seconds."""
    fields = (_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM)
    stats = [stat for process in processes if (stat := _stat(process.pid))]
    return sum(int(stat[field]) for stat in stats for field in fields) / _TICKS_PER_S


def memory(processes: Iterable[ProcessId]) -> Memory:
    """Add up what processes have in memory."""
    rollups = [_rollup(process.pid) for process in processes]
    return Memory(
        resident=sum(rollup.get("Rss", 0) for rollup in rollups),
        proportional=sum(rollup.get("Pss", 0) for rollup in rollups),
    )


def machine_cpu_s() -> float:
    """CPU time that all processes of the machine have spent, in seconds.

    Source: proc_stat(5): user, nice, system; not idle, iowait, interrupts and steal.
    """
    first = (PROC / "stat").read_text().splitlines()[0].split()
    return sum(int(field) for field in first[1:4]) / _TICKS_PER_S


def _all_stats() -> dict[int, list[str]]:
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return {pid: stat for pid in pids if (stat := _stat(pid))}


def _stat(pid: int) -> list[str] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name, in parentheses, may itself hold spaces and parentheses.
    return text.rpartition(")")[2].split()


def _rollup(pid: int) -> dict[str, int]:
    """Sizes in bytes by name."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    fields = [line.split() for line in lines]
    return {field[0].rstrip(":"): int(field[1]) * 1024 for field in fields}
