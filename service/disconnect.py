"""Stops work for which nobody waits any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from service.errors import ProblemType, ServiceError


@asynccontextmanager
async def cancelled_on_disconnect(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block when the client goes away; its body must have been read.

    Raises:
        ServiceError: The client went away.
    """
    task = asyncio.current_task()
    assert task is not None, "this runs in a task"  # noqa: S101 - for the type checker
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        # The server may be cancelling the task for a reason of its own at the same time.
        if gone and task.uncancel() == 0:
            raise ServiceError(ProblemType.CLIENT_DISCONNECTED, "The client went away.") from None
        raise
    finally:
        watcher.cancel()
