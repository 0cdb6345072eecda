"""The gateway with real neighbours, each a process on the loopback: service, archive, database."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import tomli_w

REPOSITORY = Path(__file__).resolve().parents[2]
DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
PATIENCE_S = 90.0
# Compiled once for all processes: DICOM's dictionaries take seconds to compile, and much memory.
COMPILED = {
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "gateway-tests-pycache"),
    "PYTHONDONTWRITEBYTECODE": "",
}
FILMS = {"name": "chest-films", "modality": ["CR", "DX"], "destinations": ["pacs"]}
SERIES = {
    "name": "chest-ct",
    "modality": ["CT"],
    "unit": "series",
    "quiet_s": 2,
    "destinations": ["pacs"],
}


def eventually(
    holds: Callable[[], Any], patience_s: float = PATIENCE_S, every_s: float = 0.05
) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(every_s)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str) -> httpx.Response | None:
    try:
        return httpx.get(url, timeout=5, trust_env=False)
    except httpx.HTTPError:
        return None


def answers(url: str) -> bool:
    answer = ask(url)
    return answer is not None and answer.is_success


@dataclass
class Program:
    """A process that can be killed and started again, the same each time.

    As a context it starts, and is killed at the end.
    """

    command: list[str]
    log: Path
    ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    http_port: int = 0
    popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, *, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.command,
                cwd=REPOSITORY,
                env={**os.environ, **COMPILED, **self.environment},
                stdout=log,
                stderr=log,
                user=self.user,
                start_new_session=True,
            )
        if wait:
            eventually(self.is_ready)

    def is_ready(self) -> bool:
        assert self.popen is not None
        assert self.popen.poll() is None, self.log.read_text()[-2000:]
        return self.ready()

    def kill(self) -> None:
        """End it and its children as a power cut would."""
        if self.popen is not None and self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
        if self.popen is not None:
            self.popen.wait()

    def stop(self) -> int:
        assert self.popen is not None
        self.popen.terminate()
        return self.popen.wait(PATIENCE_S)

    def resident_bytes(self, what: str = "VmRSS") -> int:
        assert self.popen is not None
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(status.split(f"{what}:")[1].split()[0]) * 1024

    def cpu_s(self) -> float:
        """Of the process and of its children that have ended."""
        assert self.popen is not None
        times = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()[11:15]
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


@dataclass
class Service(Program):
    def predict(self, image: bytes, **query: str) -> dict[str, Any]:
        headers = {"Content-Type": "application/dicom"}
        answer = httpx.post(
            f"{self.url}/predict",
            content=image,
            params=query,
            headers=headers,
            timeout=60,
            trust_env=False,
        )
        return dict(answer.raise_for_status().json())


def service(folder: Path, **environment: str) -> Service:
    port = free_port()
    return Service(
        [sys.executable, "-m", "service", "run", "--provider", "cpu"],
        folder / "service.log",
        lambda: answers(f"http://127.0.0.1:{port}/health/ready"),
        {"PNEUMO_PORT": str(port), **environment},
        http_port=port,
    )


@dataclass
class Archive(Program):
    """An Orthanc with DICOMweb."""

    dicom_port: int = 0

    def find(self, level: str = "Instance", **query: str) -> list[str]:
        body = {"Level": level, "Query": query, "CaseSensitive": True}
        answer = httpx.post(f"{self.url}/tools/find", json=body, timeout=30, trust_env=False)
        return list(answer.raise_for_status().json())

    def reports(self, **query: str) -> list[str]:
        """The structured reports that it has, by its own names for them."""
        try:
            return self.find(Modality="SR", **query)
        except httpx.HTTPError:
            return []

    def file(self, instance: str) -> bytes:
        answer = httpx.get(f"{self.url}/instances/{instance}/file", timeout=30, trust_env=False)
        return answer.raise_for_status().content


def archive(folder: Path, gateway_port: int = 104, **settings: object) -> Archive:
    http_port, dicom_port = free_port(), free_port()
    folder.mkdir(exist_ok=True)
    config = {
        "Name": "archive",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "DicomAet": "ARCHIVE",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomModalities": {"gateway": ["PNEUMO", "127.0.0.1", gateway_port]},
        "Plugins": [DICOMWEB],
        "DicomWeb": {"Enable": True},
        # As an archive should: what is acknowledged survives.
        "StorageAccessOnFind": "Never",
        **settings,
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    return Archive(
        ["Orthanc", str(folder / "orthanc.json")],
        folder / "orthanc.log",
        lambda: answers(f"http://127.0.0.1:{http_port}/system"),
        http_port=http_port,
        dicom_port=dicom_port,
    )


@dataclass
class Gateway(Program):
    folder: Path = Path()
    config: Path = Path()
    dicom_port: int = 0

    def send(self, *files: Path, calling: str = "STORESCU", called: str = "PNEUMO") -> bool:
        """Send with DCMTK; whether every file was acknowledged."""
        return were_taken(dcmsend(self.dicom_port, *files, calling=calling, called=called), files)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gateway", *arguments, "--config", str(self.config)]
        environment = {**os.environ, **COMPILED}
        return subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """The queue, from its metrics; empty where it does not answer."""
        answer = ask(f"{self.url}/metrics")
        found: dict[str, dict[str, int]] = {"instances": {}, "jobs": {}, "deliveries": {}}
        for line in answer.text.splitlines() if answer else []:
            if line.startswith("pneumo_gateway_queue{"):
                queue, state = line.split('"')[1], line.split('"')[3]
                found[queue][state] = int(float(line.split()[-1]))
        return found

    def rows(self, queue: str, state: str) -> list[dict[str, Any]]:
        ended = self.call("queue", "--name", queue, "--state", state, "--limit", "10000")
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def is_idle(self) -> bool:
        """Whether all that was taken is done with, and something was."""
        counts = self.counts()
        open_ = counts["jobs"].get("waiting", 0) + counts["deliveries"].get("waiting", 0)
        return bool(counts["instances"]) and not open_


def gateway(
    folder: Path, services: list[str], destinations: list[dict[str, Any]], **settings: Any
) -> Gateway:
    """A gateway whose settings are ``settings`` over these."""
    folder.mkdir(exist_ok=True)
    dicom_port = settings.get("dicom", {}).get("port") or free_port()
    http_port = free_port()
    config = {
        "state_dir": str(folder / "state"),
        "min_free_bytes": 1024,
        "max_backoff_s": 2,
        "rules": [FILMS, SERIES],
        **settings,
        "dicom": {**settings.get("dicom", {}), "port": dicom_port},
        "http": {**settings.get("http", {}), "port": http_port},
        "service": {"urls": services, **settings.get("service", {})},
        "destinations": destinations,
    }
    file = folder / "gateway.toml"
    file.write_text(tomli_w.dumps(config))
    scheme = "https" if "tls" in config["http"] else "http"
    return Gateway(
        [sys.executable, "-m", "gateway", "run", "--config", str(file)],
        folder / "gateway.log",
        (lambda: answers(f"http://127.0.0.1:{http_port}/health/live"))
        if scheme == "http"
        else (lambda: b'"listening"' in (folder / "gateway.log").read_bytes()),
        folder=folder,
        config=file,
        dicom_port=dicom_port,
        http_port=http_port,
    )


def to(archive: Archive, name: str = "pacs", **settings: Any) -> dict[str, Any]:
    """The archive as a destination by C-STORE."""
    return {
        "name": name,
        "kind": "dimse",
        "port": archive.dicom_port,
        "ae_title": "ARCHIVE",
        **settings,
    }


def dcmsend(
    port: int, *files: Path, calling: str = "STORESCU", called: str = "PNEUMO", halt: bool = True
) -> subprocess.CompletedProcess[str]:
    """Send each file as it is; without ``halt``, whatever became of those before it."""
    titles = ["-aet", calling, "-aec", called, "127.0.0.1", str(port)]
    command = ["dcmsend", "-v", "--decompress-never", *([] if halt else ["--no-halt"]), *titles]
    return subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)


def were_taken(ended: subprocess.CompletedProcess[str], files: Sequence[Path]) -> bool:
    """Whether each file was answered with success; the exit status does not say it."""
    return f"* with status SUCCESS  : {len(files)}" in ended.stderr + ended.stdout


@dataclass
class Database(Program):
    port: int = 0

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"


@contextmanager
def database(log: Path) -> Iterator[Database]:
    """A PostgreSQL of its own."""
    [binaries] = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
    port = free_port()
    # It refuses to run as root, and another user may not enter the folders of pytest.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data = folder / "data"
    initdb = [str(binaries / "initdb"), "--auth=trust", "--username=postgres", f"--pgdata={data}"]
    subprocess.run(initdb, check=True, capture_output=True, user=user, cwd="/")
    is_ready = [str(binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    started = Database(
        [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)],
        log,
        lambda: subprocess.run(is_ready, capture_output=True, check=False).returncode == 0,
        user=user,
        port=port,
    )
    try:
        with started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)
