import io
import logging

import orjson
import pytest

from service.logs import make_logger, silence_quoting_libraries, where


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


def test_the_places_of_an_error_say_nothing_of_its_message() -> None:
    with pytest.raises(ValueError, match="doe") as raised:
        int("doe^jane")

    places = where(raised.value)
    assert len(places) == 1
    assert places[0].startswith("test_logs.test_the_places")
