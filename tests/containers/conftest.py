import subprocess
from collections.abc import Callable

import pytest

from tests.containers.compose import CPU, project


@pytest.fixture(scope="session")
def cpu_image() -> str:
    with project(*CPU) as compose:
        compose("build")
    return "pneumoscope:cpu"


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Write a line where the run is watched."""
    return lambda line: request.config.get_terminal_writer().line(f"\n{line}")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("secrets")
    certificate, key, password = (folder / name for name in ("server.crt", "server.key", "grafana"))
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    alternatives = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    output = ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run([*make, *names, *alternatives, *output], check=True, capture_output=True)
    password.write_text("not used here")
    # The proxy's user reads them through the mount.
    key.chmod(0o444)
    return {
        "PNEUMO_TLS_CERTIFICATE": str(certificate),
        "PNEUMO_TLS_KEY": str(key),
        "PNEUMO_GRAFANA_PASSWORD": str(password),
    }
