import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import httpx
import pytest

from gateway.audit import Auditor
from gateway.config import Config, Service
from gateway.intake import Intake
from gateway.service import Services
from gateway.store import Store
from gateway.watched_folders import WatchedFolders
from gateway.web import Site
from tests.gateway.drawn import ROOT, film


def without_group_length(image: bytes) -> bytes:
    assert image[132:136] == b"\x02\0\0\0"
    return image[:132] + image[144:]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'queue.db'}", tmp_path)


@pytest.fixture
def intake(tmp_path: Path, store: Store) -> Intake:
    return Intake(Config(state_dir=tmp_path, min_free_bytes=0), store, lambda _: None)


def test_one_bad_file_does_not_keep_a_folder_from_the_others(
    tmp_path: Path, store: Store, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = tmp_path / "inbox"
    watched.mkdir()
    files = {"a": without_group_length(film(1)), "b": film(2), "c": film(3)}
    for name, image in files.items():
        (watched / name).write_bytes(image)
        os.utime(watched / name, (1, 1))
    copy = shutil.copyfile

    def fails_on_b(file: Path, to: Path) -> None:
        copy(file, to)
        if file.name == "b":
            raise PermissionError

    monkeypatch.setattr("gateway.watched_folders.shutil.copyfile", fails_on_b)

    WatchedFolders([watched], intake).step()

    assert store.counts()["instances"] == {"ignored": 1}
    left = {str(f.relative_to(watched)) for f in watched.rglob("*") if f.is_file()}
    assert left == {"refused/a", "b"}
    assert list(intake.incoming.iterdir()) == []


HEAD = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
END = b"--x--\r\n"


def post(body: bytes, store: Store, intake: Intake, chunk_bytes: int) -> httpx.Response:
    """What STOW-RS answers to a body that comes in chunks of this size."""
    app = Site(Config(), store, intake, Services(Service()), Auditor(None, "PNEUMO")).app
    kind = 'multipart/related; type="application/dicom"; boundary=x'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), chunk_bytes):
            yield body[start : start + chunk_bytes]

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.post("/studies", content=chunks(), headers={"Content-Type": kind})

    return asyncio.run(answer())


# The smaller one cuts every boundary and header into pieces.
@pytest.mark.parametrize("chunk_bytes", [3, 1 << 20])
def test_one_bad_part_of_a_request_does_not_keep_out_the_others(
    tmp_path: Path, store: Store, intake: Intake, chunk_bytes: int
) -> None:
    good = film(2, size=(40, 50))
    parts = [without_group_length(film(1, size=(40, 50))), good, b"no DICOM"]
    body = b"".join(HEAD + part + b"\r\n" for part in parts) + END

    answer = post(body, store, intake, chunk_bytes)

    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/dicom+json"
    [kept] = answer.json()["00081199"]["Value"]
    assert kept["00081155"]["Value"] == [f"{ROOT}.1.2"]
    failed = answer.json()["00081198"]["Value"]
    assert [each["00081197"]["Value"] for each in failed] == [[0xC000], [0xC000]]
    assert store.counts()["instances"] == {"ignored": 1}
    assert [file.read_bytes() for file in (tmp_path / "received").glob("*/*")] == [good]
    assert list(intake.incoming.iterdir()) == []


@pytest.mark.parametrize(
    ("end", "problem"),
    [
        (b"", "breaks off"),
        (b"\r\n--x", "breaks off"),
        (b"\r\n--x\r\nno header\r\n\r\n", "malformed"),
    ],
)
def test_of_a_body_that_breaks_off_or_is_malformed_nothing_is_kept_or_left_open(
    store: Store, intake: Intake, monkeypatch: pytest.MonkeyPatch, end: bytes, problem: str
) -> None:
    opened: list[IO[bytes]] = []
    open_ = Path.open

    def remembered(file: Path, mode: str) -> IO[bytes]:
        opened.append(open_(file, mode))
        return opened[-1]

    monkeypatch.setattr(Path, "open", remembered)

    answer = post(HEAD + film(1) + b"\r\n" + HEAD + film(2) + end, store, intake, 1 << 16)

    assert answer.status_code == 400
    assert problem in answer.text
    assert len(opened) > 1
    assert all(file.closed for file in opened)
    assert store.counts()["instances"] == {}
    assert list(intake.incoming.iterdir()) == []
