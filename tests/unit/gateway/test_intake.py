import asyncio
import os
import shutil
from pathlib import Path

import httpx
import pytest

from gateway.audit import Auditor
from gateway.config import Config, Service
from gateway.intake import Intake
from gateway.service import Services
from gateway.store import Store
from gateway.web import Site
from gateway.worker import WatchedFolders
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

    monkeypatch.setattr("gateway.worker.shutil.copyfile", fails_on_b)

    WatchedFolders([watched], intake).step()

    assert store.counts()["instances"] == {"ignored": 1}
    left = {str(f.relative_to(watched)) for f in watched.rglob("*") if f.is_file()}
    assert left == {"refused/a", "b"}
    assert list(intake.incoming.iterdir()) == []


def test_one_bad_part_of_a_request_does_not_keep_out_the_others(
    store: Store, intake: Intake
) -> None:
    app = Site(Config(), store, intake, Services(Service()), Auditor(None, "PNEUMO")).app
    parts = [without_group_length(film(1)), film(2), b"no DICOM"]
    head = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
    body = b"".join(head + part + b"\r\n" for part in parts) + b"--x--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=x'

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.post("/studies", content=body, headers={"Content-Type": kind})

    answer = asyncio.run(post())

    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/dicom+json"
    [kept] = answer.json()["00081199"]["Value"]
    assert kept["00081155"]["Value"] == [f"{ROOT}.1.2"]
    failed = answer.json()["00081198"]["Value"]
    assert [each["00081197"]["Value"] for each in failed] == [[0xC000], [0xC000]]
    assert store.counts()["instances"] == {"ignored": 1}
    assert list(intake.incoming.iterdir()) == []
