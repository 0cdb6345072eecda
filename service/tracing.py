"""Traces: which request spent its time where. Off by default, when all of this does nothing.

A span says which stage, which model and how it ended. It never holds a path, a query, a file name
or anything of an image.
"""

from collections.abc import Iterable
from typing import Literal, Protocol, cast

from starlette.types import Scope

from service.session import ServedModel

StageSpan = Literal["decode", "queue", "inference", "encode"]


class RequestTrace(Protocol):
    """The span of one request. Any thread may call it."""

    @property
    def traceparent(self) -> str | None:
        """The span as W3C Trace Context writes it; None where there is none."""
        ...

    def stage(self, name: StageSpan, ran_s: float, ended_s_ago: float = 0.0) -> None:
        """Record a stage that is over.

        Args:
            name: Which.
            ran_s: How long it took.
            ended_s_ago: How long ago it ended.
        """
        ...

    def end(self, route: str, status: int) -> None:
        """End the span.

        Args:
            route: The template of the request's path, never the path itself.
            status: Of the answer.
        """
        ...


class Tracing(Protocol):
    """Where spans go."""

    def request(self, method: str, traceparent: str | None) -> RequestTrace:
        """Begin the span of a request.

        Args:
            method: Of HTTP.
            traceparent: The caller's span, well-formed, whose child the new one is.
        """
        ...

    def batch(self, model: ServedModel, requests: Iterable[RequestTrace], ran_s: float) -> None:
        """Record a batch that has just run, with a link to every request that it served.

        Args:
            model: Which model ran.
            requests: One for each image of the batch.
            ran_s: How long it took.
        """
        ...

    def close(self) -> None:
        """Send what is left; gives up after a while."""
        ...


class _NoTrace:
    """No span."""

    traceparent = None

    def stage(self, name: StageSpan, ran_s: float, ended_s_ago: float = 0.0) -> None: ...

    def end(self, route: str, status: int) -> None: ...


NO_TRACE: RequestTrace = _NoTrace()


class _NoTracing:
    """Records nothing."""

    def request(self, method: str, traceparent: str | None) -> RequestTrace:  # noqa: ARG002
        return NO_TRACE

    def batch(self, model: ServedModel, requests: Iterable[RequestTrace], ran_s: float) -> None: ...

    def close(self) -> None: ...


NO_TRACING: Tracing = _NoTracing()


def open_tracing(endpoint: str | None) -> Tracing:
    """Send spans to an OTLP collector over HTTP; nowhere where None.

    Args:
        endpoint: The collector's base address, such as ``http://collector:4318``.
    """
    if endpoint is None:
        return NO_TRACING
    # Only who asks for traces pays for the packages, in memory and in time to start.
    from service.otlp import OtlpTracing

    return OtlpTracing(endpoint)


def trace_of(scope: Scope) -> RequestTrace:
    """The span that the middleware began for a request."""
    return cast("RequestTrace", scope["state"]["trace"])
