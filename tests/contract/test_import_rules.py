import functools
import shutil
import subprocess
import sys
from pathlib import Path

import grimp

MOST_FLOORS = 8
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


def test_exploring_a_data_set_loads_no_training_framework() -> None:
    code = (
        "import sys\n"
        "from training.cli import app\n"
        "asked = ['explore', '--recipe=xray-pneumonia', '--data=nowhere', '--output=nowhere']\n"
        "try:\n"
        "    app(asked)\n"
        "finally:\n"
        "    loaded = {name.split('.')[0] for name in sys.modules}\n"
        "    print('training.lab.explore' in sys.modules, loaded & {'keras', 'tensorflow'})"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert "nowhere is no folder" in ended.stderr
    assert ended.stdout == "True set()\n"


def test_the_service_has_no_import_cycle_and_few_floors() -> None:
    graph = grimp.build_graph("service", cache_dir=None)

    @functools.cache
    def tower(module: str) -> tuple[str, ...]:
        """The longest chain of imports below a module, itself first; a cycle never ends."""
        below = map(tower, graph.find_modules_directly_imported_by(module))
        return (module, *max(below, key=len, default=()))

    highest = max(map(tower, graph.modules), key=len)

    assert len(highest) <= MOST_FLOORS, " > ".join(highest)
