import base64
import logging
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from gateway.config import Http, read_key
from gateway.errors import InvalidConfiguration
from gateway.logs import _WithoutTexts
from gateway.web import check_key, has_key


def request(authorization: str = "") -> Request:
    headers = [(b"authorization", authorization.encode())]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize("given", ["", "Bearer ", "Basic " + base64.b64encode(b"u:").decode()])
@pytest.mark.parametrize("written", ["", "\n", None])
def test_an_empty_or_missing_key_opens_nothing(
    tmp_path: Path, written: str | None, given: str
) -> None:
    file = tmp_path / "key"
    if written is not None:
        file.write_text(written)
    config = Http(key_file=file)

    assert not has_key(config, request(given))
    with pytest.raises(HTTPException) as refused:
        check_key(config, request(given))
    assert refused.value.status_code == 401
    with pytest.raises((InvalidConfiguration, FileNotFoundError)):
        read_key(file)


def test_the_right_key_opens_whatever_its_characters(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("schlüssel\n")
    config = Http(key_file=tmp_path / "key")
    given = "Basic " + base64.b64encode("u:schlüssel".encode()).decode()

    assert has_key(config, request(given))
    assert not has_key(config, request("Bearer schlussel"))


def test_of_an_exception_the_log_has_type_and_place_and_no_text() -> None:
    try:
        int("Nobody^Drawn")
    except ValueError as error:
        trace = (ValueError, error, error.__traceback__)
        record = logging.LogRecord("lib", logging.ERROR, "", 1, "Nobody^Drawn", None, trace)

    written = _WithoutTexts("%(name)s %(levelname)s").format(record)

    assert "Drawn" not in written
    assert f"ValueError at {__name__}:" in written
