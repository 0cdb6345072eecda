import io
import logging
import os
from collections.abc import Iterator

import orjson
import pytest

from service.logs import UnblockedOutput, make_logger, silence_quoting_libraries


def test_a_line_of_the_log_is_one_json_object() -> None:
    output = io.BytesIO()
    log = make_logger("info", output)

    log.info("ready", models=["tiny/1"], seconds=0.5)
    log.debug("not written")

    (event,) = (orjson.loads(line) for line in output.getvalue().splitlines())
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "ready", "level": "info", "models": ["tiny/1"], "seconds": 0.5}


def test_libraries_that_quote_what_they_read_are_silent() -> None:
    silence_quoting_libraries()

    for name in ("PIL", "python_multipart.multipart", "pylibjpeg"):
        assert not logging.getLogger(name).isEnabledFor(logging.CRITICAL)


@pytest.fixture
def pipe() -> Iterator[tuple[int, UnblockedOutput]]:
    """The reader of a pipe, and the output that writes into it."""
    reader, writer = os.pipe()
    yield reader, UnblockedOutput(writer)
    os.close(writer)


def test_a_reader_that_stalls_loses_lines_and_is_told_how_many_and_one_that_is_gone_all(
    pipe: tuple[int, UnblockedOutput],
) -> None:
    reader, output = pipe
    line = b"x" * 999 + b"\n"

    for _ in range(100):
        output.write(line)
    held = os.read(reader, 1_000_000)
    output.write(b"again\n")

    told, again = os.read(reader, 1000).splitlines()
    os.close(reader)
    output.write(b"to nobody\n")
    assert 0 < held.count(line) < 100
    assert orjson.loads(told) == {"event": "log lines lost", "lines": 100 - held.count(line)}
    assert again == b"again"


def test_a_line_longer_than_a_pipe_takes_at_once_is_written(
    pipe: tuple[int, UnblockedOutput],
) -> None:
    reader, output = pipe
    line = b"x" * 10_000 + b"\n"

    output.write(line)

    assert os.read(reader, 20_000) == line
    os.close(reader)
