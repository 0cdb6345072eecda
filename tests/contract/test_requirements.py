import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
SERVING = ("serve.txt", "serve-gpu.txt")
RUNTIMES = {"onnxruntime", "onnxruntime-gpu"}
OFFLINE_ONLY = {"tensorflow", "keras", "tf2onnx", "onnx", "scikit-learn", "pandas", "matplotlib"}


def packages(file: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9.-]+)(?:\[[a-z,]+\])?==", file.read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", SERVING)
def test_serving_installs_one_runtime_and_no_training_framework(name: str) -> None:
    pinned = packages(REQUIREMENTS / name)

    assert "fastapi" in pinned
    assert len(pinned & RUNTIMES) == 1
    assert not pinned & OFFLINE_ONLY


@pytest.mark.parametrize("file", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda file: file.name)
def test_every_package_is_pinned_with_its_hash_and_no_address(file: Path) -> None:
    text = file.read_text()

    assert packages(file)
    assert text.count("==") <= text.count("--hash=sha256:")
    assert "://" not in text
