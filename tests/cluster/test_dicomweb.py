"""An archive that answers DICOMweb: a real Orthanc that asks for a key, and goes away."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster import sources
from cluster.score import rows_of
from tests.cluster.test_score import PATIENCE_S, begun, run
from tests.gateway.drawn import film
from tests.gateway.stack import Archive, archive

FILMS, AT_MOST = 40, 7
KEY = {"Authorization": "Bearer drawn"}
GUARD = """
function IncomingHttpRequestFilter(method, uri, ip, username, httpHeaders)
  return uri == "/system" or httpHeaders["authorization"] == "Bearer drawn"
end
"""


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """It answers who has the key."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "guard.lua").write_text(GUARD)
    started = archive(folder / "orthanc", LuaScripts=[str(folder / "guard.lua")])
    try:
        started.start()
        for number in range(FILMS):
            store = f"{started.url}/instances"
            httpx.post(store, content=film(number), headers=KEY).raise_for_status()
        yield started
    finally:
        started.kill()


@pytest.fixture
def key(tmp_path: Path) -> list[str]:
    (tmp_path / "key").write_text("drawn\n")
    return ["--key-file", str(tmp_path / "key")]


def address(orthanc: Archive) -> str:
    return f"dicomweb+{orthanc.url}/dicom-web"


def assert_whole(output: Path) -> None:
    rows: list[dict[str, Any]] = rows_of(output).to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    assert set(Counter(row["file"] for row in rows).values()) == {1}
    assert len(rows) == FILMS


def cut_off(orthanc: Archive, output: Path, *options: str) -> subprocess.Popen[str]:
    """A run that has written at least one batch, and whose archive was killed then."""
    started = begun(address(orthanc), output, *options)
    orthanc.kill()
    return started


def test_every_page_is_read_of_a_search_that_gives_fewer_than_were_asked_for(
    orthanc: Archive, key: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def give_less(request: httpx.Request) -> None:
        asked.append(request.url.params["offset"])
        request.url = request.url.copy_set_param("limit", str(AT_MOST))

    with httpx.Client(event_hooks={"request": [give_less]}) as client:
        monkeypatch.setattr(sources, "_client", lambda: client)
        names = list(sources.open_source(address(orthanc), Path(key[1])).names())

    assert len(set(names)) == len(names) == FILMS
    assert asked[1:7] == ["0", "7", "14", "21", "28", "35"]


def test_an_archive_is_read_with_the_key(orthanc: Archive, tmp_path: Path, key: list[str]) -> None:
    run(address(orthanc), tmp_path / "scored", *key)

    assert_whole(tmp_path / "scored")


def test_without_the_key_nothing_is_read_and_no_file_is_blamed(
    orthanc: Archive, tmp_path: Path
) -> None:
    said = run(address(orthanc), tmp_path / "scored", status=1)

    assert "403 Forbidden" in said
    assert not list((tmp_path / "scored" / "_done").iterdir())


def test_a_run_waits_for_an_archive_that_comes_back(
    orthanc: Archive, tmp_path: Path, key: list[str]
) -> None:
    output = tmp_path / "scored"
    started = cut_off(orthanc, output, *key)
    time.sleep(10)
    assert started.poll() is None
    assert len(list((output / "_done").glob("*.parquet"))) < FILMS / 4
    orthanc.start()

    said, _ = started.communicate(timeout=PATIENCE_S)

    assert started.returncode == 0, said
    assert_whole(output)


def test_an_archive_that_stays_away_ends_the_run_which_goes_on_later(
    orthanc: Archive, tmp_path: Path, key: list[str]
) -> None:
    output = tmp_path / "scored"
    started = cut_off(orthanc, output, *key, "--patience", "2")
    try:
        said, _ = started.communicate(timeout=PATIENCE_S)
        assert started.returncode == 1
        assert "The archive is away" in said
        assert {row["status"] for row in rows_of(output).to_pylist()} == {"ok"}
    finally:
        orthanc.start()

    run(address(orthanc), output, *key)

    assert_whole(output)
