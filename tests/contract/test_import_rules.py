import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_no_package_imports_what_it_must_not() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert command is not None

    ended = subprocess.run(
        [command, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stdout
    assert " 0 broken" in ended.stdout


def test_serving_loads_no_training_framework() -> None:
    code = (
        "import sys, service.cli; "
        "print([n for n in sys.modules if n.split('.')[0] in "
        "('tensorflow', 'keras', 'onnx', 'tf2onnx', 'sklearn', 'pandas', 'training', 'export')])"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )

    assert ended.stdout == "[]\n"
