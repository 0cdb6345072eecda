from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles import write_bundle
from tests.integration.live import Live, serving_models
from tests.synthetic import as_jpeg, synthetic_radiograph


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_bundle(folder, "tiny", 1)
    write_bundle(folder, "tiny", 2)
    write_bundle(folder, "tiny-ct", 1, modalities=("CT",))
    return folder


@pytest.fixture(scope="session")
def live(models: Path) -> Iterator[Live]:
    with serving_models(
        models, max_body_bytes=1_000_000, max_pixels=4_000_000, max_files=4, queue_limit=64
    ) as running:
        yield running


@pytest.fixture(scope="session")
def radiograph() -> bytes:
    return as_jpeg(synthetic_radiograph(300, 400))
