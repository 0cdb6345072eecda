import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import processes
from bench.errors import ServerFailed
from bench.servers import Server, ServerCommand, free_port
from bench.wire import get_request

# A server that leaves a child to init, as some do, and then answers.
SERVER = """
import http.server, os, subprocess, sys
subprocess.Popen(["sh", "-c", "sleep 60 & exec true"]).wait()
os.environ["GREETING"] == "hello" or sys.exit("no greeting")
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


def start(folder: Path, code: str, greeting: str = "hello") -> Server:
    port = free_port()
    command = ServerCommand((sys.executable, "-c", code, str(port)), folder, {"GREETING": greeting})
    return Server(command, port)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = start(tmp_path, SERVER)
    yield running
    running.stop()


def test_a_server_is_ready_with_its_first_answer(server: Server) -> None:
    seconds = server.ready(get_request("/"))

    assert seconds > 0
    assert server.ask(get_request("/")).status == 200


def test_a_server_is_measured_with_all_of_its_processes(server: Server) -> None:
    server.ready(get_request("/"))

    assert len(server.processes()) == 2
    assert server.memory().resident > server.memory().proportional > 1_000_000
    assert server.cpu_s() > 0


def test_stopping_ends_the_orphans_as_well(tmp_path: Path) -> None:
    server = start(tmp_path, SERVER)
    server.ready(get_request("/"))
    started = server.processes()

    server.stop()

    assert started
    assert not any(processes.is_running(process) for process in started)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    server = start(tmp_path, SERVER, greeting="none")

    with pytest.raises(ServerFailed, match="no greeting"):
        server.ready(get_request("/"))
    server.stop()
