import asyncio
import io

import pytest

from service.device import DeviceWatch
from service.logs import make_logger


class Device:
    """Counts how often it is tried, and hangs where it is told to."""

    def __init__(self) -> None:
        self.hangs = False
        self.tried = 0

    async def run(self) -> None:
        self.tried += 1
        await asyncio.sleep(0.01)
        if self.hangs:
            await asyncio.Event().wait()


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def watch(device: Device) -> DeviceWatch:
    return DeviceWatch(device.run, make_logger("info", io.BytesIO()))


def test_those_who_ask_at_the_same_time_share_one_probe(device: Device, watch: DeviceWatch) -> None:
    async def scenario() -> None:
        await asyncio.gather(*(watch.check() for _ in range(5)))

    asyncio.run(scenario())

    assert device.tried == 1


def test_closing_ends_a_probe_that_hangs(device: Device, watch: DeviceWatch) -> None:
    async def scenario() -> int:
        device.hangs = True
        watch.close()
        watch.note(lost=True)
        watch.look_again()
        await asyncio.sleep(0.05)
        watch.close()
        await asyncio.sleep(0.01)
        return len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == 1
