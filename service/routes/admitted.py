"""The block in which a request's images are worked on, whichever route they came by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from service.disconnect import cancelled_on_disconnect
from service.errors import DeviceLost
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
