import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.servers import Command, Server, ServerFailed, free_port

GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

# A server that leaves a child to init, as some do, and then answers.
SERVER = """
import http.server, os, subprocess, sys
subprocess.Popen(["sh", "-c", "sleep 60 & exec true"]).wait()
os.environ["GREETING"] == "hello" or sys.exit("no greeting")
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


def start(code: str, greeting: str = "hello") -> Server:
    port = free_port()
    return Server(Command((sys.executable, "-c", code, str(port)), {"GREETING": greeting}), port)


@pytest.fixture
def server() -> Iterator[Server]:
    with start(SERVER) as running:
        yield running


def test_a_server_is_measured_with_all_of_its_processes(server: Server) -> None:
    assert server.ready(GET) > 0
    assert server.ask(GET)[0] == 200
    alone = Path(f"/proc/{server.root}/smaps_rollup").read_text()
    own = sum(int(line.split()[1]) for line in alone.splitlines() if line.startswith("Pss:"))

    assert len(server.processes()) == 2
    assert server.memory_bytes() > own * 1024 > 1_000_000
    assert server.cpu_s() > 0


def test_stopping_ends_the_orphans_as_well() -> None:
    server = start(SERVER)
    server.ready(GET)
    started = server.processes()

    server.stop()

    states = [Path(f"/proc/{pid}/stat") for pid in started]
    assert started
    assert not any(state.exists() and ") Z " not in state.read_text() for state in states)


def test_a_server_that_does_not_start_says_why() -> None:
    with start(SERVER, greeting="none") as server, pytest.raises(ServerFailed, match="no greeting"):
        server.ready(GET)
