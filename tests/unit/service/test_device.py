import asyncio
import io

import pytest

from service.logs import make_logger
from service.runtime import DeviceWatch


@pytest.mark.anyio
async def test_those_who_ask_at_the_same_time_share_one_probe_and_closing_ends_it() -> None:
    tried, answers = list[int](), asyncio.Event()

    async def run() -> None:
        tried.append(1)
        await answers.wait()

    watch = DeviceWatch(run, make_logger("info", io.BytesIO()))
    watch.close()
    asked = [asyncio.create_task(watch.check()) for _ in range(5)]
    await asyncio.sleep(0.01)
    answers.set()
    await asyncio.gather(*asked)
    assert len(tried) == 1

    answers.clear()
    watch.note(lost=True)
    before = len(asyncio.all_tasks())
    watch.look_again()
    await asyncio.sleep(0.01)
    watch.close()
    await asyncio.sleep(0.01)
    assert len(tried) == 2
    assert len(asyncio.all_tasks()) == before
