"""What Prometheus is told. Labels are titles, rules and states, and nothing of the patient."""

import time
from collections.abc import Iterable

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.store import Store

RECEIVED = Counter("pneumo_gateway_instances_received", "Instances", ["source", "outcome"])
REFUSED = Counter("pneumo_gateway_refused", "What was not taken", ["reason"])
REPORTS = Counter("pneumo_gateway_reports", "Results made", ["rule"])
RETRIES = Counter("pneumo_gateway_retries", "Attempts that are repeated", ["queue"])
TIME_TO_REPORT = Histogram(
    "pneumo_gateway_time_to_report_seconds",
    "From the last image to the report at its destination",
    ["destination"],
    buckets=(0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600),
)


class QueueCollector(Collector):
    """Reads the queue at each scrape."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Count what each queue has, and how long its oldest has waited."""
        counted = GaugeMetricFamily(
            "pneumo_gateway_queue",
            "Rows by state; parked ones wait for a person",
            labels=["queue", "state"],
        )
        for queue, states in self._store.counts().items():
            for state, count in states.items():
                counted.add_metric([queue, state], count)
        yield counted
        for column, waiting in self._store.waiting().items():
            prefix = f"pneumo_gateway_waiting_by_{column}"
            number = GaugeMetricFamily(prefix, "What waits", labels=[column])
            age = GaugeMetricFamily(f"{prefix}_oldest_seconds", "The oldest", labels=[column])
            for name, count, since in waiting:
                number.add_metric([name], count)
                age.add_metric([name], max(0.0, time.time() - since))
            yield from (number, age)
