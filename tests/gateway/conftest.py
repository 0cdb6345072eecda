from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.stack import Archive, Gateway, Service, archive, gateway, service, to


@pytest.fixture(scope="session")
def running_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture(scope="module")
def running_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with archive(tmp_path_factory.mktemp("archive") / "orthanc") as started:
        yield started


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
    with started:
        yield started


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    return folder
