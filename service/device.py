"""Whether the accelerator still runs models: a container can lose its GPU while it runs."""

import asyncio
from collections.abc import Awaitable, Callable

from service.errors import DeviceLost
from service.logs import Logger

PROBE_TIMEOUT_S = 10


class DeviceWatch:
    """Remembers whether the device is lost, and finds out by ``run``, a model on it."""

    def __init__(self, run: Callable[[], Awaitable[None]], log: Logger) -> None:
        self.lost = False
        self._run = run
        self._log = log
        self._probe: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Run a model, one for all who ask at the same time; raises DeviceLost where none runs."""
        # Who goes away does not take the answer from the others.
        await asyncio.shield(self._probing())
        if self.lost:
            raise DeviceLost

    def look_again(self) -> None:
        """Where it is lost, find out whether it is back, without waiting for that."""
        if self.lost:
            self._probing()

    def close(self) -> None:
        """Give up a run that is on its way."""
        if self._probe is not None:
            self._probe.cancel()

    def _probing(self) -> asyncio.Task[None]:
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._try())
        return self._probe

    async def _try(self) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self._run()
        except Exception:  # noqa: BLE001 - whatever it is, the device did not run a model
            self.note(lost=True)
        else:
            self.note(lost=False)

    def note(self, *, lost: bool) -> None:
        """Take note of whether a model runs there."""
        if lost and not self.lost:
            self._log.error("device lost")
        if self.lost and not lost:
            self._log.info("device back")
        self.lost = lost
