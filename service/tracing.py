"""Traces: where a request spent its time. Off by default, when none of this does anything.

A request is a span; its stages are four kinds of child: decode, queue, inference, encode. A span
never holds a path, a query, a file name or anything of an image.
"""

from collections.abc import Iterable
from typing import Literal, cast

from starlette.types import Scope

from service.repository import ServedModel

StageSpan = Literal["decode", "queue", "inference", "encode"]


class RequestTrace:
    """The span of one request; this one records nothing. Any thread may call it."""

    @property
    def traceparent(self) -> str | None:
        """The span as W3C Trace Context writes it; None where there is none."""
        return None

    def stage(self, name: StageSpan, ran_s: float, ended_s_ago: float = 0.0) -> None:
        """Record a stage that is over: how long it took, and how long ago it ended."""

    def end(self, route: str, status: int) -> None:
        """End the span.

        Args:
            route: The template of the request's path, never the path itself.
            status: Of the answer.
        """


class Tracing:
    """Where spans go; this one sends them nowhere."""

    def request(self, method: str, traceparent: str | None) -> RequestTrace:  # noqa: ARG002
        """Begin the span of a request.

        Args:
            method: Of HTTP.
            traceparent: The caller's span, well-formed, whose child the new one is.
        """
        return NO_TRACE

    def batch(self, model: ServedModel, requests: Iterable[RequestTrace], ran_s: float) -> None:
        """Record a batch that has just run, with a link to every request that it served."""

    def close(self) -> None:
        """Send what is left; gives up after a while."""


NO_TRACE = RequestTrace()
NO_TRACING = Tracing()


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
