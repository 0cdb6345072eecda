"""What the service takes: images in flight that somebody waits for, and bodies in size and pace.

Source: RFC 9110 section 8.4.1 (of the content encodings, gzip is RFC 1952, deflate is RFC 1950).
"""

import asyncio
import math
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ProblemType, ServiceError
from service.headers import header_of

SMOOTHING = 0.1
MAX_RETRY_S = 300
# The slowest line that a client may have, 128 kbit/s: what comes slower uses up its patience.
MIN_BYTES_PER_S = 16 * 1024
# A client that still sends while it is refused reads the answer only when it has sent all.
DRAIN_S = 5.0
# A body that is whole within this time keeps its connection: a new one costs more than the rest.
ON_ITS_WAY_S = 0.1
STEP_BYTES = 256 * 1024
# Each costs a copy of what follows it; some programs write one for each 64 KB.
MAX_MEMBERS = 4096
# As zlib's inflateInit2 takes them: 15 for its own format, 16 more for gzip's.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_REQUEST_TIMEOUT = 408
_CLOSE = b"connection", b"close"


class Admission:
    """Counts images in flight, and measures the rate at which the service finishes them."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.in_flight = 0
        self._limit = limit
        self._clock = clock
        self._last_change = 0.0
        self._seconds_per_image: float | None = None

    def check(self, images: int = 1) -> None:
        """Refuse, with a ServiceError, where so many more images would be too many."""
        if self.in_flight + images > self._limit:
            raise ServiceError(
                ProblemType.QUEUE_FULL,
                f"{self.in_flight} images are in flight, and at most {self._limit} may be.",
                self.retry_after_s(),
            )

    @contextmanager
    def admit(self, images: int) -> Iterator[None]:
        """Hold room for all images of one request, or refuse as ``check`` does."""
        self.check(images)
        if self.in_flight == 0:
            self._last_change = self._clock()
        self.in_flight += images
        try:
            yield
            # Dropped requests say nothing of the rate, so an exception leaves it as it is.
            self._measure(images)
        finally:
            self.in_flight -= images

    def retry_after_s(self) -> int:
        """Whole seconds until what is in flight now should be done, at the measured rate."""
        seconds = math.ceil(self.in_flight * (self._seconds_per_image or 0))
        return min(max(seconds, 1), MAX_RETRY_S)

    def _measure(self, images: int) -> None:
        """Smooth the busy time per image; idle time does not count, so this is a service rate."""
        now = self._clock()
        busy, self._last_change = now - self._last_change, now
        before = busy / images if self._seconds_per_image is None else self._seconds_per_image
        self._seconds_per_image = before + SMOOTHING * (busy / images - before)


@asynccontextmanager
async def cancelled_on_disconnect(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block, with a ServiceError, when the client goes away; its body has been read."""
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


class ReceiveBudget:
    """How many bytes all bodies that are being received or held may have together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def take(self, count: int) -> None:
        """Count bytes that came, or refuse them with a ServiceError where there is no room."""
        if self.held + count > self._limit:
            raise ServiceError(
                ProblemType.TOO_MANY_UPLOADS,
                f"All request bodies together may have at most {self._limit} bytes at a time.",
            )
        self.held += count

    def give_back(self, count: int) -> None:
        """Count bytes that are let go of."""
        self.held -= count


class BodyLimit:
    """Counts, times and inflates each body as it arrives, before anything keeps it. Plain ASGI.

    A request whose body nobody reads, such as a probe's, is neither counted nor timed. Where a
    request is refused before its body is there, what is on its way is discarded. If that is not
    soon over, the answer goes out, and the connection is closed after a while. A client that writes
    all before it reads would otherwise find a closed connection in place of the answer.
    """

    def __init__(
        self, app: ASGIApp, max_body_bytes: int, budget: ReceiveBudget, timeout_s: float
    ) -> None:
        self._app = app
        self.max_body_bytes = max_body_bytes
        self.budget = budget
        self.timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, whose ``receive`` raises what is wrong with its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(self, scope, receive, send)
        try:
            await self._app(scope, body.receive, body.send)
        finally:
            self.budget.give_back(body.held)


class _Body:
    """One body on its way in; ``held`` are its bytes in the budget, as they came and inflated.

    Its patience is the time that is left to wait. Waiting uses it up, and bytes win it back at the
    least rate, up to the timeout: that bounds a client that stalls and one that drips alike.
    """

    def __init__(self, limit: BodyLimit, scope: Scope, receive: Receive, send: Send) -> None:
        self.held = self._arrived = self._inflated = 0
        self._limit = limit
        self._receive, self._send = receive, send
        self._patience_s = limit.timeout_s
        declared = header_of(scope, b"content-length") or ""
        # A body that says that it is too large is not read at all.
        self._refused = declared.isdigit() and int(declared) > limit.max_body_bytes
        has_body = declared not in ("", "0") or header_of(scope, b"transfer-encoding") is not None
        self._complete = not has_body
        # Such a client sends its body only when it is asked for it.
        self._drains = header_of(scope, b"expect") is None
        encoding = (header_of(scope, b"content-encoding") or "").strip().lower()
        is_encoded = encoding not in ("", "identity")
        self._pieces = _inflated(self._arrive, encoding) if is_encoded else None

    async def receive(self) -> Message:
        if self._pieces is None:
            return await self._arrive()
        # Where the body is over, what comes now is the client's end.
        message = await anext(self._pieces, None) or await self._arrive()
        self._inflated = self._count(message, self._inflated, ", inflated")
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._complete:
            self._drains = self._drains and message["status"] != _REQUEST_TIMEOUT
            if self._drains:
                await self._discard(ON_ITS_WAY_S)
            if not self._complete and _CLOSE not in message["headers"]:
                # What is not there after the drain would be taken for a request.
                message = {**message, "headers": [*message["headers"], _CLOSE]}
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not last or self._complete or not self._drains:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await self._discard(DRAIN_S)
        await self._send({"type": "http.response.body", "body": b""})

    async def _discard(self, at_most_s: float) -> None:
        """Wait for the rest of a body that is of no use any more, to nobody."""
        self._limit.budget.give_back(self.held)
        self.held = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                while not self._complete:
                    self._note(await self._receive())

    async def _arrive(self) -> Message:
        if self._refused:
            raise self._too_large()
        if self._complete:
            # What comes now is the client's end; it may wait for its answer as long as it likes.
            return await self._receive()
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._patience_s):
                message = await self._receive()
        except TimeoutError as error:
            raise ServiceError(
                ProblemType.BODY_TIMEOUT,
                f"No byte of the body, or too few, came within {self._limit.timeout_s:g} s.",
            ) from error
        self._note(message)
        won = len(message.get("body", b"")) / MIN_BYTES_PER_S
        left = self._patience_s - (time.monotonic() - started)
        self._patience_s = min(self._limit.timeout_s, left + won)
        self._arrived = self._count(message, self._arrived)
        return message

    def _note(self, message: Message) -> None:
        # A client that went away sends no more either.
        self._complete = not message.get("more_body", False)

    def _count(self, message: Message, before: int, how: str = "") -> int:
        """Hold the bytes of a message, and count them with those before."""
        count = len(message.get("body", b""))
        if before + count > self._limit.max_body_bytes:
            self._refused = True
            raise self._too_large(how)
        self._limit.budget.take(count)
        self.held += count
        return before + count

    def _too_large(self, how: str = "") -> ServiceError:
        most = self._limit.max_body_bytes
        return ServiceError(
            ProblemType.BODY_TOO_LARGE, f"A request body may have at most {most} bytes{how}."
        )


async def _inflated(receive: Receive, encoding: str) -> AsyncIterator[Message]:
    """A body as it was before its Content-Encoding, in steps, each inflated when it is wanted."""
    decoder, members, more = _member(encoding, 1), 1, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            yield message
            continue
        more, chunk = message.get("more_body", False), message.get("body", b"")
        while chunk:
            if decoder.eof:
                members += 1
                decoder = _member(encoding, members)
            try:
                # On a thread, so that a body that grows a lot holds up nobody.
                piece = await asyncio.to_thread(decoder.decompress, chunk, STEP_BYTES)
            except zlib.error:
                raise _malformed("The body is not what its Content-Encoding says.") from None
            chunk = decoder.unused_data or decoder.unconsumed_tail
            yield {"type": "http.request", "body": piece, "more_body": True}
    if not decoder.eof:
        raise _malformed("The compressed body breaks off before its end.")
    yield {"type": "http.request", "body": b"", "more_body": False}


def _member(encoding: str, number: int) -> "zlib._Decompress":
    """Begin a member of a body, of which gzip may have several. Source: RFC 1952 section 2.2."""
    if encoding not in _WINDOW_BITS:
        raise ServiceError(
            ProblemType.UNSUPPORTED_ENCODING, "The Content-Encoding must be gzip, deflate, or none."
        )
    if number > (1 if encoding == "deflate" else MAX_MEMBERS):
        raise _malformed("The compressed body goes on behind its own end.")
    return zlib.decompressobj(_WINDOW_BITS[encoding])


def _malformed(what: str) -> ServiceError:
    return ServiceError(ProblemType.MALFORMED_ENCODING, what)
