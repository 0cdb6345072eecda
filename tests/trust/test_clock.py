"""A wall clock that jumps: what is measured in time goes on, and the trail stays whole."""

import json
from pathlib import Path

import httpx
import pytest

from service.audit import verify
from tests.bundles import write_bundle
from tests.integration.live import JPEG, key_of, process
from tests.trust.test_service import RADIOGRAPH, bearer

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@pytest.mark.parametrize("jump", ["+1d", "-1d"])
def test_a_clock_that_jumps_a_day_changes_nothing_of_an_answer(tmp_path: Path, jump: str) -> None:
    assert FAKETIME, "scripts/operations-tools.sh installs faketime"
    write_bundle(tmp_path / "models")
    offset, keys, trail = tmp_path / "offset", tmp_path / "keys.json", tmp_path / "trail.db"
    offset.write_text("+0d")
    known = {
        "limited": key_of("limited", ["predict"], per_minute=4),
        "other": key_of("other", ["predict"]),
    }
    keys.write_text(json.dumps(known))
    keys.chmod(0o600)
    clock = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        # As in a kernel: what is set is the wall clock alone.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    settings = {"PNEUMO_API_KEYS_FILE": str(keys), "PNEUMO_AUDIT_URL": f"sqlite:///{trail}"}

    with process(tmp_path / "models", workers=1, **clock, **settings) as running:
        limited = httpx.Client(base_url=running.url, headers=bearer("limited"), timeout=60)
        other = httpx.Client(base_url=running.url, headers=bearer("other"), timeout=60)
        with limited, other:
            before = [findings(predict(limited)) for _ in range(4)]
            offset.write_text(jump)
            refused = predict(limited)
            after = [findings(predict(other)) for _ in range(4)]

    # A minute of the caller's is neither over at once nor a day long.
    assert refused.status_code == httpx.codes.TOO_MANY_REQUESTS
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert before == after
    assert list(verify(f"sqlite:///{trail}")) == []


def predict(client: httpx.Client) -> httpx.Response:
    return client.post("/predict", content=RADIOGRAPH, headers=JPEG)


def findings(answer: httpx.Response) -> object:
    answer.raise_for_status()
    [result] = answer.json()["results"]
    return result["findings"]
