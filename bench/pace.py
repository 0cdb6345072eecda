"""When requests are sent: as answers come (closed loop), or as the clock says (open loop)."""

import math
from typing import Protocol


class Pace(Protocol):
    """Decides when the next request is due; all times are seconds since the load began."""

    def due(self, now_s: float) -> float | None:
        """Take the next request that should have been sent by now: its intended time, or None."""
        ...

    def wait_s(self, now_s: float) -> float:
        """How long until another request is due, if nothing else happens; infinite if never."""
        ...

    def is_over(self, now_s: float) -> bool:
        """Whether no further request will be sent."""
        ...

    def overdue(self) -> list[float]:
        """The intended times of those that should have been sent before the end, and were not."""
        ...


class ClosedLoop:
    """Every connection sends its next request when it has the answer to the last one."""

    def __init__(self, stop_s: float, max_requests: int | None = None) -> None:
        """End after a time, or after a number of requests where that is reached first."""
        self._stop_s = stop_s
        self._left = math.inf if max_requests is None else max_requests

    def due(self, now_s: float) -> float | None:
        """Now, until the end."""
        if self.is_over(now_s):
            return None
        self._left -= 1
        return now_s

    def wait_s(self, now_s: float) -> float:  # noqa: ARG002 - of the protocol
        """Only an answer makes another request due."""
        return math.inf

    def is_over(self, now_s: float) -> bool:
        """Whether the time or the number is reached."""
        return now_s >= self._stop_s or self._left <= 0

    def overdue(self) -> list[float]:
        """Nothing can be."""
        return []


class OpenLoop:
    """Requests leave at a constant rate, whether or not the server keeps up."""

    def __init__(self, rate_per_s: float, stop_s: float) -> None:
        """Plan requests at 0, 1/rate, 2/rate, … seconds, the last one before ``stop_s``."""
        self._rate_per_s = rate_per_s
        self._stop_s = stop_s
        self._planned = math.ceil(rate_per_s * stop_s)
        self._next = 0

    def due(self, now_s: float) -> float | None:
        """The planned time of the next request, where it has come and the end has not."""
        intended_s = self._next / self._rate_per_s
        if self.is_over(now_s) or intended_s > now_s:
            return None
        self._next += 1
        return intended_s

    def wait_s(self, now_s: float) -> float:
        """Until the next planned time."""
        return max(0.0, self._next / self._rate_per_s - now_s)

    def is_over(self, now_s: float) -> bool:
        """Whether the end has come or the plan is done."""
        return now_s >= self._stop_s or self._next >= self._planned

    def overdue(self) -> list[float]:
        """The rest of the plan."""
        return [number / self._rate_per_s for number in range(self._next, self._planned)]
