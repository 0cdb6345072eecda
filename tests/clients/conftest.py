"""A running service, and the tools that generate clients of it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.app import create_api
from service.openapi import to_yaml, write_document
from service.settings import Settings
from tests.bundles import write_bundle
from tests.integration.live import REPOSITORY, Live, serving
from tests.synthetic import as_jpeg, synthetic_radiograph

HERE = Path(__file__).parent
PYTHON_TOOLS = REPOSITORY / ".venv-clients" / "bin"
NODE_TOOLS = HERE / "node_modules" / ".bin"


@pytest.fixture(scope="session")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("document") / "openapi.yaml"
    file.write_text(to_yaml(write_document(create_api())))
    return file


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    models = tmp_path_factory.mktemp("models")
    write_bundle(models, "tiny", 1)
    with serving(Settings(models_dir=models, port=0)) as running:
        yield running


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("image") / "chest.jpeg"
    file.write_bytes(as_jpeg(synthetic_radiograph(300, 400)))
    return file


@pytest.fixture(scope="session")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts, in which Node finds the packages."""
    folder = tmp_path_factory.mktemp("typescript")
    shutil.copytree(HERE / "typescript", folder, dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def run(*command: object, cwd: Path) -> str:
    """Run a command to its end; what it wrote to standard output."""
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-5000:]
    return ended.stdout
