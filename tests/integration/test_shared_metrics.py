"""The metrics of several worker processes, read from any one of them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.live import REPOSITORY, eventually, process

WORKER = """
import sys
from service.metrics import Metrics

metrics = Metrics()
metrics.request("/predict", 200)
metrics.queue_limit.set(10)
metrics.in_flight.set(3)
for _ in sys.stdin:
    text = metrics.exposition().decode()
    print(text.count("\\n"), text, sep="\\n", end="", flush=True)
"""


class Worker:
    """A process with metrics of its own, in a folder with those of others."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            cwd=REPOSITORY,
            env={"PROMETHEUS_MULTIPROC_DIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.exposed()

    def exposed(self) -> list[str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        lines = int(self.process.stdout.readline())
        return [self.process.stdout.readline().rstrip("\n") for _ in range(lines)]

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    with ExitStack() as ending:
        started = Worker(tmp_path), Worker(tmp_path)
        for worker in started:
            ending.callback(worker.end)
        yield started


def test_any_worker_exposes_the_sum_over_all(workers: tuple[Worker, Worker]) -> None:
    first, _ = workers

    eventually(lambda: "pneumoscope_images_in_flight 6.0" in first.exposed())
    lines = first.exposed()

    assert 'pneumoscope_requests_total{route="/predict",status="200"} 2.0' in lines
    assert "pneumoscope_queue_limit 20.0" in lines
    assert sum(line.startswith("pneumoscope_build_info{") for line in lines) == 1
    assert not any("pid=" in line or "_created" in line for line in lines)


def test_a_worker_that_died_is_in_the_counters_alone(workers: tuple[Worker, Worker]) -> None:
    first, second = workers

    second.end()

    eventually(lambda: "pneumoscope_images_in_flight 3.0" in first.exposed())
    lines = first.exposed()
    assert 'pneumoscope_requests_total{route="/predict",status="200"} 2.0' in lines
    assert "pneumoscope_queue_limit 10.0" in lines


def test_a_port_of_several_workers_exposes_what_all_have_answered(
    models: Path, radiograph: bytes
) -> None:
    def metrics() -> list[str]:
        return service.get("/metrics").text.splitlines()

    with process(models, workers=2, PNEUMO_QUEUE_LIMIT="32") as service:
        # Each has a connection of its own, which either worker may take.
        for _ in range(6):
            service.post(content=radiograph)
        counted = 'pneumoscope_requests_total{route="/predict",status="200"} 6.0'
        eventually(lambda: counted in metrics())
        eventually(lambda: "pneumoscope_queue_depth 0.0" in metrics())
        lines = metrics()

    assert "pneumoscope_queue_limit 64.0" in lines
    assert "pneumoscope_images_in_flight 0.0" in lines
    assert sum(line.startswith("pneumoscope_model_info{") for line in lines) == 3
    # No library has a word to say about it either.
    assert all(line.startswith("{") for line in service.log)
