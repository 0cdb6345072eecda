import hashlib
import json
from pathlib import Path

import pytest

from service.auth import ApiKey, authorize, read_keys
from service.errors import Forbidden, InvalidConfiguration, Unauthenticated


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_a_key_opens_its_scopes_and_no_other() -> None:
    keys = [ApiKey(sha256=digest("secret"), scopes=frozenset({"predict"}))]

    authorize(keys, "secret", "predict")

    with pytest.raises(Forbidden, match="'read'"):
        authorize(keys, "secret", "read")


@pytest.mark.parametrize("token", [None, "", "Secret", digest("secret")])
def test_anything_but_a_known_key_is_refused(token: str | None) -> None:
    keys = [ApiKey(sha256=digest("secret"), scopes=frozenset({"predict"}))]

    with pytest.raises(Unauthenticated):
        authorize(keys, token, "predict")


def test_the_same_key_under_two_names_has_the_scopes_of_both() -> None:
    keys = [
        ApiKey(sha256=digest("secret"), scopes=frozenset({"read"})),
        ApiKey(sha256=digest("secret"), scopes=frozenset({"predict"})),
    ]

    authorize(keys, "secret", "read")
    authorize(keys, "secret", "predict")


def test_a_key_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"pacs": {"sha256": digest("secret"), "scopes": ["predict"]}}))

    keys = read_keys(file)

    assert keys is not None
    (key,) = keys
    assert (key.sha256, key.scopes) == (digest("secret"), frozenset({"predict"}))


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

    with pytest.raises(InvalidConfiguration, match=says) as refused:
        read_keys(file)

    assert "secret" not in str(refused.value)
