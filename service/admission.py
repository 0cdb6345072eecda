"""How many images may be in the service at once, and when to come back if it is full."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import DeadlineExceeded, QueueFull

SMOOTHING = 0.1
UNMEASURED_RETRY_S = 1
MAX_RETRY_S = 300


class Admission:
    """Counts images in flight, and measures the rate at which the service finishes them."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing in flight.

        Args:
            limit: The most images in flight.
            clock: Seconds, never going back.
        """
        self._limit = limit
        self._clock = clock
        self._in_flight = 0
        self._last_change = 0.0
        self._seconds_per_image: float | None = None

    @property
    def in_flight(self) -> int:
        """How many images are in the service."""
        return self._in_flight

    def check(self, images: int = 1) -> None:
        """Refuse where there is no room.

        Raises:
            QueueFull: So many more images would be too many.
        """
        if self._in_flight + images > self._limit:
            raise QueueFull(
                f"{self._in_flight} images are in flight, and at most {self._limit} may be.",
                self.retry_after_s(),
            )

    @contextmanager
    def admit(self, images: int) -> Iterator[None]:
        """Hold room for the images of one request.

        Raises:
            QueueFull: There is no room for all of them.
        """
        self.check(images)
        if self._in_flight == 0:
            self._last_change = self._clock()
        self._in_flight += images
        try:
            yield
            # Dropped requests say nothing of the rate, so an exception leaves it as it is.
            self._measure(images)
        finally:
            self._in_flight -= images

    def deadline_exceeded(self, deadline_s: float) -> DeadlineExceeded:
        """The error for a request that was not served in time."""
        return DeadlineExceeded(
            f"The request was not served within {deadline_s:g} s.", self.retry_after_s()
        )

    def retry_after_s(self) -> int:
        """Whole seconds until what is in flight now should be done, at the measured rate."""
        if self._seconds_per_image is None:
            return UNMEASURED_RETRY_S
        seconds = math.ceil(self._in_flight * self._seconds_per_image)
        return min(max(seconds, 1), MAX_RETRY_S)

    def _measure(self, images: int) -> None:
        """Smooth the busy time per image; idle time does not count, so this is a service rate."""
        now = self._clock()
        busy, self._last_change = now - self._last_change, now
        sample = busy / images
        if self._seconds_per_image is None:
            self._seconds_per_image = sample
        else:
            self._seconds_per_image += SMOOTHING * (sample - self._seconds_per_image)
