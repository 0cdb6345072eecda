"""Requests that nobody thought of, drawn from the service's own OpenAPI document.

With SCHEMATHESIS_SECONDS it draws for so long, which is what `make schemathesis` does.
"""

import os
import re
import subprocess
import sysconfig
from pathlib import Path

from tests.integration.live import Live

SECONDS = int(os.environ.get("SCHEMATHESIS_SECONDS", "0"))
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
    # What breaks a limit as well is refused all the same.
    refusals = "[400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, '5xx']"
    (tmp_path / "schemathesis.toml").write_text(
        f"[checks.negative_data_rejection]\nexpected-statuses = {refusals}\n"
    )
    command = [
        str(schemathesis),
        "run",
        f"{live.client.base_url}/openapi.json",
        f"--checks={','.join(CHECKS)}",
        *([f"--max-time={SECONDS}"] if SECONDS else ["--max-examples=25", "--seed=1"]),
        "--generation-database=none",
        "--no-color",
    ]

    ended = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300 + 2 * SECONDS,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout[-5000:]
    assert re.search(r"([1-9]\d*) selected / \1 total", ended.stdout)
