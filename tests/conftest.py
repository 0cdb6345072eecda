import os
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]

settings.register_profile("bounded", max_examples=60, deadline=None)
settings.load_profile("bounded")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    folder = Path(os.environ.get("PNEUMO_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (folder / "manifest.csv").is_file():
        pytest.skip("the development images are absent: set PNEUMO_DATA to their folder")
    return folder


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
