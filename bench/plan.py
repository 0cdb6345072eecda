"""How much is measured: a full run, or a quick one that only shows that everything works."""

from dataclasses import dataclass

# The load that peers are tuned for, and that most of the goals speak of.
BUSY_CONNECTIONS = 16
# More than the service lets in, less than the 1024 files that a process may open by default.
OVERLOAD_CONNECTIONS = 512


@dataclass(frozen=True, slots=True)
class Plan:
    """The extent of a run.

    Each load warms up for ``warmup_s`` and is then measured for ``seconds``. In each of ``rounds``
    every server is started and measured once. ``trial_s`` is how long each candidate
    setting of a peer is tried, 0 takes the first one untried. ``open_share`` is the rate of the
    open loop, as a share of the server's throughput with 16 connections.
    ``soak_requests`` is 0 where there is none. ``generators`` is the number of load generators.
    """

    seconds: float
    warmup_s: float
    rounds: int
    connections: tuple[int, ...]
    trial_s: float
    overload_factor: float
    overload_connections: int
    soak_requests: int
    generators: int
    quick: bool
    open_share: float = 0.7


def full_plan(rounds: int, seconds: float, soak_requests: int, cores: int) -> Plan:
    """A run whose figures are worth keeping, on a machine that does nothing else."""
    return Plan(
        seconds=seconds,
        warmup_s=2,
        rounds=rounds,
        connections=(1, 16, 64),
        trial_s=4,
        overload_factor=4,
        overload_connections=OVERLOAD_CONNECTIONS,
        soak_requests=soak_requests,
        # One generator sends some thousand radiographs per second.
        generators=max(1, cores // 8),
        quick=False,
    )


def quick_plan() -> Plan:
    """A run of a few seconds per server; its figures mean nothing."""
    return Plan(
        seconds=1.5,
        warmup_s=0.5,
        rounds=1,
        connections=(1, 16),
        trial_s=0,
        overload_factor=4,
        overload_connections=OVERLOAD_CONNECTIONS,
        soak_requests=0,
        generators=1,
        quick=True,
    )
