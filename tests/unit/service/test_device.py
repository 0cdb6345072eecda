import asyncio
import io

import pytest

from service.logs import make_logger
from service.runtime import DeviceWatch

pytestmark = pytest.mark.anyio


class Device:
    """Counts how often it is tried, and hangs where it is told to."""

    hangs = False
    tried = 0

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


async def test_those_who_ask_at_the_same_time_share_one_probe(
    device: Device, watch: DeviceWatch
) -> None:
    await asyncio.gather(*(watch.check() for _ in range(5)))

    assert device.tried == 1


async def test_closing_ends_a_probe_that_hangs(device: Device, watch: DeviceWatch) -> None:
    device.hangs = True
    watch.close()
    watch.note(lost=True)
    before = len(asyncio.all_tasks())
    watch.look_again()
    await asyncio.sleep(0.05)
    watch.close()
    await asyncio.sleep(0.01)

    assert device.tried == 1
    assert len(asyncio.all_tasks()) == before
