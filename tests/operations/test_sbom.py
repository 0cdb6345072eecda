"""The list of packages that a release carries is what the lock file installs."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("lock", ["serve.txt", "serve-gpu.txt", "gateway.txt", "commission.txt"])
def test_the_list_of_packages_equals_the_lock(lock: str, tmp_path: Path) -> None:
    output = tmp_path / "sbom.json"
    file = ROOT / "requirements" / lock
    subprocess.run([ROOT / "scripts" / "sbom.sh", file, output], check=True, capture_output=True)
    document = json.loads(output.read_text())
    assert document["bomFormat"] == "CycloneDX"
    listed = {(each["name"], each["version"]) for each in document["components"]}
    pinned = re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ \\;]+)", file.read_text(), re.M)
    assert pinned
    assert listed == set(pinned)
