import io
import json
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from service import auth
from service.auth import Keys
from service.domain import Caller
from service.errors import ProblemType, StartError
from service.logs import make_logger
from tests.integration.live import key_of
from tests.refusals import refused


def write(folder: Path, mode: int = 0o640, **scopes: list[str]) -> Path:
    """A file of keys, each of which is its own name without the digits."""
    file = folder / "keys.json"
    keys = {name: key_of(name.rstrip("0123456789"), opened) for name, opened in scopes.items()}
    file.write_text(json.dumps(keys))
    file.chmod(mode)
    return file


def opened(file: Path, output: io.BytesIO | None = None) -> Keys:
    return Keys(file, None, make_logger("info", output or io.BytesIO()))


@pytest.fixture(autouse=True)
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "LOOK_S", -1)


def test_a_key_under_two_names_has_the_scopes_of_both_until_the_last_is_taken_out(
    tmp_path: Path,
) -> None:
    keys = opened(write(tmp_path, pacs1=["predict"], pacs2=["read"], other=["admin"]))

    assert keys.find("pacs") == Caller("pacs1,pacs2", frozenset({"predict", "read"}))
    write(tmp_path)
    with refused(ProblemType.UNAUTHENTICATED):
        keys.find("pacs")


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_text("{")])
def test_a_file_that_cannot_be_used_any_more_changes_nothing_and_is_told_once(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    output = io.BytesIO()
    file = write(tmp_path, pacs=["predict"])
    keys = opened(file, output)
    spoil(file)

    for _ in range(3):
        assert keys.find("pacs") == Caller("pacs", frozenset({"predict"}))

    (said,) = map(orjson.loads, output.getvalue().splitlines())
    assert said["event"] == "keys not reloaded"
    assert said["reason"].startswith("PNEUMO_API_KEYS_FILE ")


def test_a_file_that_everybody_may_write_is_refused_and_one_they_may_read_is_warned_of(
    tmp_path: Path,
) -> None:
    output = io.BytesIO()

    with pytest.raises(StartError, match="could add a key: chmod o-w"):
        opened(write(tmp_path, 0o602, pacs=["predict"]))
    opened(write(tmp_path, 0o604, pacs=["predict"]), output)

    assert orjson.loads(output.getvalue())["event"] == "key file readable by everybody"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{}", "has no key"),
        ("no json", "not well-formed at the file"),
        ('{"pacs": {"sha256": "secret", "scopes": []}}', "not well-formed at pacs.sha256"),
        (
            '{"pacs": {"sha256": "' + 64 * "0" + '", "scopes": ["root"]}}',
            "not well-formed at pacs.scopes",
        ),
    ],
)
def test_a_key_file_that_is_wrong_says_where_and_never_what(
    tmp_path: Path, content: str, says: str
) -> None:
    file = tmp_path / "keys.json"
    file.write_text(content)

    with pytest.raises(StartError, match=says) as caught:
        opened(file)

    assert "secret" not in str(caught.value)
