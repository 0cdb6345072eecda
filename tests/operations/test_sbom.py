"""What a release carries: the packages of the lock file, and notes with every image's digest."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

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


def test_a_release_is_tested_first_and_its_notes_name_every_digest(tmp_path: Path) -> None:
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    assert "|| true" not in workflow
    jobs = yaml.safe_load(workflow)["jobs"]
    assert jobs["draft"]["needs"] == "tests"
    assert jobs["images"]["needs"] == "draft"
    creating = [name for name, job in jobs.items() if "gh release create" in str(job)]
    assert creating == ["draft"]
    assert jobs["notes"]["needs"] == "images"
    images = [each["name"] for each in jobs["images"]["strategy"]["matrix"]["include"]]
    for name in images:
        (tmp_path / f"digest-{name}.txt").write_text(f"registry.example/x@sha256:{name}\n")
    (tmp_path / "notes.md").write_text("Changes\n")
    [script] = [step["run"] for step in jobs["notes"]["steps"] if "sed" in step.get("run", "")]
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, check=True)
    notes = (tmp_path / "notes.md").read_text()
    assert notes.startswith("Changes\n")
    for name in images:
        assert f"- registry.example/x@sha256:{name}\n" in notes
