import asyncio
import io

import orjson
import pytest

from service.device import DeviceWatch
from service.errors import DeviceLost
from service.logs import make_logger


class Device:
    """Counts how often it is tried, and fails where it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.hangs = False
        self.tried = 0

    async def run(self) -> None:
        self.tried += 1
        await asyncio.sleep(0.01)
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def output() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture
def watch(device: Device, output: io.BytesIO) -> DeviceWatch:
    return DeviceWatch(device.run, make_logger("info", output))


@pytest.mark.parametrize("error", [DeviceLost("gone"), RuntimeError("anything")])
def test_a_probe_that_fails_loses_the_device_and_one_that_runs_brings_it_back(
    device: Device, watch: DeviceWatch, output: io.BytesIO, error: Exception
) -> None:
    async def scenario() -> list[bool]:
        device.error = error
        for _ in range(2):
            with pytest.raises(DeviceLost):
                await watch.check()
        lost = watch.lost
        device.error = None
        await watch.check()
        return [lost, watch.lost]

    seen = asyncio.run(scenario())

    assert seen == [True, False]
    events = [orjson.loads(line)["event"] for line in output.getvalue().splitlines()]
    assert events == ["device lost", "device back"]


def test_a_device_that_does_not_answer_is_lost(
    device: Device, watch: DeviceWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.device.PROBE_TIMEOUT_S", 0.05)
    device.hangs = True

    with pytest.raises(DeviceLost, match="does not answer"):
        asyncio.run(watch.check())

    assert watch.lost


def test_those_who_ask_at_the_same_time_share_one_probe(device: Device, watch: DeviceWatch) -> None:
    async def scenario() -> None:
        await asyncio.gather(*(watch.check() for _ in range(5)))

    asyncio.run(scenario())

    assert device.tried == 1


def test_a_reported_loss_is_looked_into_without_waiting(device: Device, watch: DeviceWatch) -> None:
    async def scenario() -> list[bool]:
        watch.look_again()
        watch.report_lost()
        watch.look_again()
        lost = watch.lost
        await asyncio.sleep(0.1)
        return [lost, watch.lost]

    assert asyncio.run(scenario()) == [True, False]
    assert device.tried == 1


def test_closing_ends_a_probe_that_hangs(device: Device, watch: DeviceWatch) -> None:
    async def scenario() -> int:
        device.hangs = True
        watch.close()
        watch.report_lost()
        watch.look_again()
        await asyncio.sleep(0.05)
        watch.close()
        await asyncio.sleep(0.01)
        return len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == 1
