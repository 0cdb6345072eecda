"""Facts about this machine and this checkout, without which no figure means anything."""

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from bench.results import Machine
from service.cpus import available_cpus

PACKAGES = (
    "bentoml", "fastapi", "flask", "gunicorn", "keras", "litserve", "numpy", "onnxruntime",
    "onnxruntime-gpu", "pillow", "ray", "starlette", "tensorflow", "uvicorn",
)  # fmt: skip


def describe_machine() -> Machine:
    """Look at the CPU, the memory, the GPU and the installed packages."""
    return Machine(
        cpu_model=_cpu_model(),
        cores=available_cpus(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpu=_gpu(),
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=platform.python_version(),
        packages={name: version for name in PACKAGES if (version := _version(name))},
    )


def revision(folder: Path) -> str:
    """The commit of a checkout, with a plus where files differ from it; "unknown" elsewhere."""
    commit = _output("git", "-C", str(folder), "rev-parse", "--short=12", "HEAD")
    changes = _output("git", "-C", str(folder), "status", "--porcelain")
    return f"{commit}{'+' if changes else ''}" if commit else "unknown"


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _gpu() -> str | None:
    return _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _output(*command: str) -> str:
    """What a command prints; nothing where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return result.stdout.strip() if result.returncode == 0 else ""
