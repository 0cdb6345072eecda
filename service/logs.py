"""Structured logs, one JSON object a line: no file name, no data of a patient, no image bytes."""

import io
import logging
import os
import select
import sys
from typing import BinaryIO, cast

import orjson
import structlog

from service.errors import DeviceLost, FileFailed, InferenceFailed

MAX_REASON_LENGTH = 500
# These libraries quote the bytes that they stumble over, and those may name a patient.
QUOTING_LOGGERS = ("PIL", "pylibjpeg", "python_multipart")

Logger = structlog.typing.FilteringBoundLogger


class UnblockedOutput:
    """A file descriptor that stays open, for lines that never wait for whoever reads them.

    A line for which the reader leaves no room is lost. The next that is written says how many were.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._lost = 0

    def write(self, line: bytes) -> None:
        """Write a line, or count it."""
        if self._lost:
            line = orjson.dumps({"event": "log lines lost", "lines": self._lost}) + b"\n" + line
        # A pipe that is ready takes so many bytes without blocking.
        for start in range(0, len(line), select.PIPE_BUF):
            if self._poll.poll(0) != [(self._descriptor, select.POLLOUT)]:
                self._lost += 1
                return
            os.write(self._descriptor, line[start : start + select.PIPE_BUF])
        self._lost = 0

    def flush(self) -> None:
        """Nothing is held back."""


def make_logger(level: str, stream: BinaryIO | None = None) -> Logger:
    """Make a logger that writes one JSON object per line, by default to standard output."""
    if stream is None:
        try:
            stream = cast("BinaryIO", UnblockedOutput(sys.stdout.fileno()))
        except io.UnsupportedOperation:
            # It was replaced by a stream in memory.
            stream = sys.stdout.buffer
    return cast(
        "Logger",
        structlog.wrap_logger(
            structlog.BytesLogger(stream),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                lambda _logger, _method, event: orjson.dumps(event, default=str),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            # What is wrapped is a proxy that would put a logger together for every line.
        ).bind(),
    )


def silence_quoting_libraries() -> None:
    """Keep other libraries from writing what they read to the process's log."""
    for name in QUOTING_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def log_failure(log: Logger, error: Exception, request_id: str) -> None:
    """Tell the operator what failed through no fault of the file, in the runtime's own words."""
    if isinstance(error, FileFailed):
        log.error("file failed", request_id=request_id, error=error.kind, places=error.places)
    elif isinstance(error, InferenceFailed | DeviceLost):
        log.error(
            "inference failed",
            request_id=request_id,
            error=type(error).__name__,
            reason=str(error.__cause__ or error)[:MAX_REASON_LENGTH],
        )


def log_start_failure(log: Logger, error: Exception) -> None:
    """Tell the operator in one line why the service cannot start."""
    log.error("cannot start", reason=" ".join(str(error).split()))
