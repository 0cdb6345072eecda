"""The block in which a request's images are worked on, while somebody waits for the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.types import Receive

from service.errors import ClientDisconnected, DeviceLost
from service.logs import log_failure
from service.problems import request_id_of
from service.runtime import Runtime


@asynccontextmanager
async def admitted(request: Request, runtime: Runtime, images: int) -> AsyncIterator[None]:
    """Hold room for images, within the deadline, while somebody waits for the answer.

    The request's body must have been read.

    Raises:
        QueueFull: There is no room for all of them.
        DeadlineExceeded: The block took too long.
        ClientDisconnected: The client went away.
    """
    deadline_s = runtime.settings.request_deadline_s
    with runtime.admission.admit(images):
        try:
            async with cancelled_on_disconnect(request.receive), asyncio.timeout(deadline_s):
                yield
        except DeviceLost as error:
            log_failure(runtime.log, error, request_id_of(request.scope))
            runtime.report_device_lost()
            raise
        except TimeoutError as error:
            raise runtime.admission.deadline_exceeded(deadline_s) from error


@asynccontextmanager
async def cancelled_on_disconnect(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block when the client goes away; its body must have been read.

    Raises:
        ClientDisconnected: The client went away.
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
            raise ClientDisconnected("The client went away.") from None
        raise
    finally:
        watcher.cancel()
