"""The unit for systemd, checked with systemd's own tool."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "pneumoscope.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit_and_calls_its_exposure_ok(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    # Its program is not installed here, which would be all that systemd has to say.
    unit.write_text(UNIT.read_text().replace("/opt/pneumoscope/bin/python", "/usr/bin/env"))
    verify = ["systemd-analyze", "verify", "--man=no", str(unit)]
    verified = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    judge = ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(unit)]
    judged = subprocess.run(judge, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout
