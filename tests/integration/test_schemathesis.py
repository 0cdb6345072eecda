"""Requests that nobody thought of, drawn from the service's own OpenAPI document."""

import re
import subprocess
import sysconfig
from pathlib import Path

from tests.integration.live import Live

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)


def test_no_request_breaks_the_service_or_its_own_document(live: Live, tmp_path: Path) -> None:
    schemathesis = Path(sysconfig.get_path("scripts")) / "schemathesis"
    command = [
        str(schemathesis),
        "run",
        f"{live.client.base_url}/openapi.json",
        f"--checks={','.join(CHECKS)}",
        "--max-examples=25",
        "--seed=1",
        "--generation-database=none",
        "--no-color",
    ]

    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )

    assert ended.returncode == 0, ended.stdout[-5000:]
    assert re.search(r"([1-9]\d*) selected / \1 total", ended.stdout)
