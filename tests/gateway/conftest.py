from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.stack import Archive, Gateway, Service, archive, gateway, service, to


@pytest.fixture(scope="session")
def running_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    started = service(tmp_path_factory.mktemp("service"))
    try:
        started.start()
        yield started
    finally:
        started.kill()


@pytest.fixture(scope="module")
def running_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    started = archive(tmp_path_factory.mktemp("archive") / "orthanc")
    try:
        started.start()
        yield started
    finally:
        started.kill()


@pytest.fixture(scope="module")
def running_gateway(
    running_service: Service, running_archive: Archive, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    watched = folder / "watched"
    watched.mkdir()
    started = gateway(
        folder, [running_service.url], [to(running_archive)], watch_dirs=[str(watched)]
    )
    try:
        started.start()
        yield started
    finally:
        started.kill()


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    return folder
