import pytest

from bench import generator
from bench.errors import LoadFailed
from bench.load import Load
from bench.wire import raw_request

from .conftest import CountingServer


def test_generators_in_processes_of_their_own_share_a_load(server: CountingServer) -> None:
    load = Load(port=server.port, connections=3, seconds=30, max_requests=11)

    samples = generator.run(load, [raw_request("/predict", b"image")], processes=2)

    assert samples.statuses.tolist() == [200] * 11
    assert server.connections == 3
    assert samples.cpu_s > 0


def test_a_load_is_shared_out_without_loss() -> None:
    load = Load(port=1, connections=5, rate_per_s=90, seconds=1, max_requests=10)

    parts = generator.split(load, 3)

    assert [part.connections for part in parts] == [2, 2, 1]
    assert [part.max_requests for part in parts] == [4, 3, 3]
    assert sum(part.rate_per_s or 0 for part in parts) == pytest.approx(90)


def test_a_generator_that_fails_says_why() -> None:
    load = Load(host="192.0.2.1", port=1, connections=1, seconds=1)

    with pytest.raises(LoadFailed, match=r"192\.0\.2\.1"):
        generator.run(load, [b"GET / HTTP/1.1\r\n\r\n"])
