import pytest

from tests.containers.compose import CPU, project


@pytest.fixture(scope="session")
def cpu_image() -> str:
    with project(*CPU) as compose:
        compose("build")
    return "pneumoscope:cpu"
