import sys
from pathlib import Path

import numpy as np

from bench.context import Context
from bench.images import ImageSet
from bench.peers.config import PeerSettings
from bench.plan import Plan
from bench.results import Images
from bench.servers import ServerCommand
from bench.target_run import TargetRun
from bench.targets import Conditions, Target

WORKS, FAILS = PeerSettings(workers=2), PeerSettings(workers=1)
EXPECTED = np.array([[0.25, 0.75], [0.25, 0.75]])
SERVER = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"probabilities": [0.25, 0.75]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

sys.argv[2] == "2" or sys.exit("two workers are needed")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def start(conditions: Conditions, settings: PeerSettings, port: int) -> ServerCommand:
    arguments = (sys.executable, "-c", SERVER, str(port), str(settings.workers))
    return ServerCommand(arguments, conditions.scratch, {})


def make_run(folder: Path, *candidates: PeerSettings, module: str = "http") -> TargetRun:
    plan = Plan(
        seconds=1,
        warmup_s=0.1,
        rounds=1,
        connections=(16,),
        trial_s=0.5,
        overload_factor=4,
        overload_connections=32,
        soak_requests=0,
        generators=1,
        quick=False,
    )
    facts = Images(real=False, count=2, mean_bytes=3, mean_pixels=1)
    context = Context(
        Conditions(folder, folder, "cpu", 2, folder),
        plan,
        ImageSet((b"one", b"two"), facts),
        say=lambda _: None,
    )
    return TargetRun(context, Target("tiny", "Tiny", "peer", module, candidates, start))


def test_a_target_is_measured_with_every_load(tmp_path: Path) -> None:
    run = make_run(tmp_path, WORKS)

    run.measure_round(EXPECTED)

    result = run.result()
    assert result.not_measured is None
    assert list(result.closed) == [16]
    assert result.open is not None
    assert result.closed[16].load.throughput > 0
    assert result.max_difference == 0
    assert result.resident_bytes > 1_000_000


def test_settings_with_which_a_target_does_not_start_are_not_chosen(tmp_path: Path) -> None:
    run = make_run(tmp_path, FAILS, WORKS)

    run.choose_settings()
    run.measure_round(EXPECTED)

    result = run.result()
    assert result.settings == str(WORKS)
    assert [trial.images_per_s is None for trial in result.trials] == [True, False]


def test_a_target_that_answers_something_else_is_not_measured(tmp_path: Path) -> None:
    run = make_run(tmp_path, WORKS)

    run.measure_round(EXPECTED + 0.01)

    assert run.result().not_measured == "its probabilities are off by up to 0.01"
    assert run.result().closed == {}


def test_a_target_that_is_not_installed_is_not_started(tmp_path: Path) -> None:
    run = make_run(tmp_path, FAILS, module="a_package_that_is_nowhere")

    run.choose_settings()
    run.measure_round(EXPECTED)

    assert run.result().not_measured == "a_package_that_is_nowhere is not installed"
