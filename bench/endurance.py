"""Two loads on this service alone: far more than it can do, and very many requests."""

import math
from collections.abc import Sequence

from bench import generator
from bench.context import Context
from bench.load import Load
from bench.plan import BUSY_CONNECTIONS
from bench.results import Overload, Soak
from bench.samples import Samples, figures
from bench.servers import Server
from bench.targets import Target
from bench.wire import get_request

HEALTH_PATH = "/health/live"
HEALTH_PER_S = 20.0
# Enough that no probe waits for another one while the service stalls for some seconds.
HEALTH_CONNECTIONS = 128
# The default of the service's setting of that name; it promises no answer after that.
REQUEST_DEADLINE_S = 30.0
SOAK_SAMPLES = 10
SOAK_PART_LIMIT_S = 1800.0


def measure_overload(context: Context, target: Target, peak_per_s: float) -> Overload:
    """Offer the service a multiple of its peak, and ask for its health meanwhile.

    Args:
        context: Of the run.
        target: This service.
        peak_per_s: The throughput that was its best.

    Raises:
        ServerFailed: The service does not start.
        LoadFailed: A load generator failed.
    """
    plan, settings = context.plan, target.candidates[0]
    requests = context.requests(settings)
    offered_per_s = peak_per_s * plan.overload_factor
    context.say(f"overload: {plan.overload_factor:g} times {peak_per_s:.0f} images/s")
    with context.running(target, settings) as server:
        server.ready(requests[0])
        flood = Load(
            port=server.port,
            connections=plan.overload_connections,
            rate_per_s=offered_per_s,
            warmup_s=plan.warmup_s,
            seconds=plan.seconds,
        )
        probe = flood.model_copy(
            update={"connections": HEALTH_CONNECTIONS, "rate_per_s": HEALTH_PER_S}
        )
        probing = generator.start(probe, [get_request(HEALTH_PATH)])
        flooded = generator.run(flood, requests, plan.generators)
        probed = probing.wait(probe.timeout_s)
    return Overload(
        factor=plan.overload_factor,
        offered_per_s=offered_per_s,
        peak_per_s=peak_per_s,
        deadline_s=REQUEST_DEADLINE_S,
        load=figures([flooded], REQUEST_DEADLINE_S),
        health=figures([probed]),
    )


def measure_soak(context: Context, target: Target) -> Soak:
    """Ask as often as planned, and look at the memory every tenth of the way.

    Args:
        context: Of the run.
        target: This service.

    Raises:
        ServerFailed: The service does not start.
        LoadFailed: A load generator failed.
    """
    settings = target.candidates[0]
    requests = context.requests(settings)
    part = math.ceil(context.plan.soak_requests / SOAK_SAMPLES)
    resident: list[int] = []
    parts: list[Samples] = []
    with context.running(target, settings) as server:
        server.ready(requests[0])
        for _ in range(SOAK_SAMPLES):
            parts.append(_ask(server, requests, part))
            resident.append(server.memory().resident)
            context.say(f"soak: {len(parts) * part} requests, {resident[-1] / 2**20:.0f} MiB")
    return Soak(
        requests=part * SOAK_SAMPLES,
        resident_bytes=tuple(resident),
        load=figures(parts),
    )


def _ask(server: Server, requests: Sequence[bytes], times: int) -> Samples:
    load = Load(
        port=server.port,
        connections=BUSY_CONNECTIONS,
        seconds=SOAK_PART_LIMIT_S,
        max_requests=times,
    )
    return generator.run(load, requests)
