"""The log: one JSON object a line, with nothing of the patient."""

import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import Any

import structlog


def configure() -> None:
    """Write to standard error what this project says, and of the libraries what is wrong."""
    # Warnings of libraries quote values of data sets, such as names.
    warnings.simplefilter("ignore")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_WithoutTexts("%(name)s %(levelname)s"))
    logging.basicConfig(handlers=[handler], level=logging.ERROR, force=True)
    # What ends a thread is told by the interpreter otherwise, with its text.
    threading.excepthook = lambda ended: logging.getLogger("thread").error(
        "ended", exc_info=(ended.exc_type, ended.exc_value or ended.exc_type(), ended.exc_traceback)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_texts,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _without_texts(
    _logger: object, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Of an exception keep where it was raised: its text may quote a data set."""
    if event.pop("exc_info", None):
        kind, _, trace = sys.exc_info()
        event["exception"] = kind.__name__ if kind else None
        event["at"] = _places(trace)
    return event


class _WithoutTexts(logging.Formatter):
    """Says of an exception its type and where it was raised, for the records of libraries."""

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802 - as logging has it
        kind, _, trace = ei
        return f"{kind.__name__ if kind else None} at {' '.join(_places(trace))}"


def _places(trace: TracebackType | None) -> list[str]:
    """The last five places on the way to where an exception was raised."""
    places = []
    while trace:
        places.append(f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places[-5:]
