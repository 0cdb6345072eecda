"""Bounds the bodies that arrive: each in bytes and in time, and all of them together in bytes.

Plain ASGI, so that nothing is buffered.
"""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTimeout, BodyTooLarge, TooManyUploads
from service.headers import header_of

# The slowest line that a client may have, 128 kbit/s: what comes slower uses up its patience.
MIN_BYTES_PER_S = 16 * 1024


class ReceiveBudget:
    """How many bytes all bodies that are being received or held may have together."""

    def __init__(self, limit: int) -> None:
        """Start with nothing held."""
        self._limit = limit
        self.held = 0

    def take(self, count: int) -> None:
        """Count bytes that came.

        Raises:
            TooManyUploads: There is no room for them; they are not counted.
        """
        if self.held + count > self._limit:
            raise TooManyUploads(
                f"All request bodies together may have at most {self._limit} bytes at a time."
            )
        self.held += count

    def give_back(self, count: int) -> None:
        """Count bytes that are let go of."""
        self.held -= count


class BodyLimit:
    """Counts and times a body as it arrives, before anything parses or keeps it.

    A request whose body nobody reads, such as a probe's, is neither counted nor timed.
    """

    def __init__(
        self, app: ASGIApp, max_body_bytes: int, budget: ReceiveBudget, timeout_s: float
    ) -> None:
        """Wrap an application.

        Args:
            app: The application.
            max_body_bytes: The largest body.
            budget: For all bodies together.
            timeout_s: How long a client may send nothing, or too little.
        """
        self._app = app
        self._limit = max_body_bytes
        self._budget = budget
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting and timing.

        Raises:
            BodyTooLarge: Out of ``receive``, to whoever reads the body; so are the others.
            BodyTimeout: The body does not arrive in time.
            TooManyUploads: All bodies together are too large.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = header_of(scope, b"content-length") or ""
        # A body that says that it is too large is not read at all.
        refused = declared.isdigit() and int(declared) > self._limit
        body = _Body(receive, self._limit, self._budget, self._timeout_s, refused=refused)
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._budget.give_back(body.held)


class _Body:
    """One body on its way in.

    Its patience is the time that is left to wait. Waiting uses it up, and bytes win it back at the
    least rate, up to the timeout: that bounds a client that stalls and one that drips alike.
    """

    def __init__(
        self,
        receive: Receive,
        limit: int,
        budget: ReceiveBudget,
        timeout_s: float,
        *,
        refused: bool,
    ) -> None:
        self.held = 0
        self._refused = refused
        self._receive = receive
        self._limit = limit
        self._budget = budget
        self._timeout_s = self._patience_s = timeout_s
        self._complete = False

    async def receive(self) -> Message:
        self._check()
        if self._complete:
            # What comes now is the client's end; it may wait for its answer as long as it likes.
            return await self._receive()
        message = await self._receive_in_time()
        self._complete = not message.get("more_body", False)
        count = len(message.get("body", b""))
        self._budget.take(count)
        self.held += count
        self._check()
        return message

    async def _receive_in_time(self) -> Message:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._patience_s):
                message = await self._receive()
        except TimeoutError as error:
            raise BodyTimeout(
                f"No byte of the body, or too few, came within {self._timeout_s:g} s."
            ) from error
        won = len(message.get("body", b"")) / MIN_BYTES_PER_S
        left = self._patience_s - (time.monotonic() - started)
        self._patience_s = min(self._timeout_s, left + won)
        return message

    def _check(self) -> None:
        if self._refused or self.held > self._limit:
            raise BodyTooLarge(f"A request body may have at most {self._limit} bytes.")
