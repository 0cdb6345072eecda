"""Measures this service, its peers and the in-process limit in alternating rounds."""

import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from bench.limit import Limit, cores, measure_limit
from bench.load import HOST, OK, Figures, Load, LoadFailed, in_own_process, request, run
from bench.peers import VARIABLE, Decoder, Peer
from bench.servers import Command, Server, ServerFailed, free_port
from contract.manifest import PRECISION_FILES
from contract.radiograph import decode
from tests.synthetic import as_jpeg, synthetic_radiograph

REPOSITORY = Path(__file__).resolve().parents[1]
OURS, DEFAULT, TWO = "pneumoscope", "pneumoscope-default", "pneumoscope-two"
BUSY = "closed 16"
SHARES = {"open 50 %": 0.5, "open 70 %": 0.7, "open 85 %": 0.85}
OVERLOAD, OVERLOAD_FACTOR = "overload", 4
LOADS = ("closed 1", BUSY, "closed 64", *SHARES)


class Cell(Figures):
    """One load on one server in one round; ``cpu_ms`` is of all its processes, per answer."""

    cpu_ms: float


class Visit(BaseModel):
    """One server in one round: every load on it, by name; ``failure`` is why there are none.

    ``difference`` is the largest of its probabilities to those of the in-process session.
    """

    cells: dict[str, Cell] = {}
    memory_bytes: int = 0
    start_s: float = 0
    difference: float = 0
    failure: str | None = None


class Results(BaseModel):
    """A run. ``visits`` and ``limits`` are by round, then by target or graph file."""

    facts: dict[str, str]
    model: str
    precisions: dict[str, str]
    limits: list[dict[str, Limit]] = []
    visits: list[dict[str, Visit]] = []


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; ``targets`` are the keys of the only ones, all where it is empty."""

    rounds: int = 5
    seconds: float = 1.6
    warmup_s: float = 0.4
    targets: tuple[str, ...] = ()
    models: Path = REPOSITORY / "models"


@dataclass(frozen=True, slots=True)
class Target:
    """A server with one kind of body: this service with settings, or a peer with a decoder."""

    server: str
    title: str
    body: Literal["raw", "multipart"] = "raw"
    framework: Literal["fastapi", "litserve"] | None = None
    decoder: Decoder = "ours"
    settings: dict[str, str] = field(default_factory=dict)
    loads: tuple[str, ...] = LOADS

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.server} {self.body}"

    def command(self, plan: Plan, bundle: Path, port: int) -> Command:
        """How to start it."""
        if self.framework is None:
            return serve_command(port, plan.models, "cpu", self.settings)
        tuned = {"workers": cores(), "threads": 1} if self.decoder == "ours" else {}
        peer = Peer(decoder=self.decoder, body=self.body, bundle=bundle, port=port, **tuned)
        module = "bench.peers" if self.framework == "fastapi" else "bench.litserve_peer"
        return Command((sys.executable, "-m", module), {VARIABLE: peer.model_dump_json()})


def serve_command(port: int, models: Path, provider: str, settings: Mapping[str, str]) -> Command:
    """How to start this service."""
    console_script = Path(sys.executable).with_name("pneumo-serve")
    listening = ("run", "--host", HOST, "--port", str(port))
    serving = ("--models-dir", str(models), "--provider", provider)
    return Command((str(console_script), *listening, *serving), settings)


def targets() -> tuple[Target, ...]:
    """All that is measured, in the order of a round."""
    fp32 = {"PNEUMO_PRECISION": "fp32"}
    decoders: dict[Decoder, str] = {"pillow": "Pillow", "opencv": "OpenCV", "ours": "our decode"}
    raw = [
        Target(OURS, "Pneumoscope, fp32", settings=fp32, loads=(*LOADS, OVERLOAD)),
        Target(DEFAULT, "Pneumoscope as it comes"),
        *(
            Target(f"{framework}-{decoder}", f"{name}, {words}", "raw", framework, decoder)
            for framework, name in (("fastapi", "FastAPI handler"), ("litserve", "LitServe"))
            for decoder, words in decoders.items()
        ),
    ]
    form = [replace(target, body="multipart", loads=(BUSY, "open 70 %")) for target in raw]
    two = {**fp32, "PNEUMO_WORKERS": "2"}
    trail = Path(tempfile.gettempdir(), "pneumoscope-bench-audit.sqlite")
    audited = {**fp32, "PNEUMO_AUDIT_URL": f"sqlite:///{trail}"}
    return (
        raw[0],
        # Beside the one that it is compared with.
        Target(
            "pneumoscope-audited",
            "Pneumoscope, fp32, with an audit trail",
            settings=audited,
            loads=(BUSY,),
        ),
        *raw[1:],
        *form,
        Target(TWO, "Pneumoscope, fp32, two processes", settings=two, loads=(BUSY,)),
    )


def measure(plan: Plan, results_file: Path, say: Callable[[str], None]) -> Results:
    """Measure everything; what was found is written after each server.

    Raises:
        ServerFailed: This service does not start.
    """
    images = load_images()
    requests = {
        b: [request("/predict", image, b) for image in images] for b in ("raw", "multipart")
    }
    chosen = [t for t in targets() if not plan.targets or t.server in plan.targets]
    results = Results(facts=_facts(plan, images), **_first_answers(plan, requests["raw"][0]))
    results_file.parent.mkdir(parents=True, exist_ok=True)
    bundle, began = plan.models / results.model, time.monotonic()
    for number in range(plan.rounds):
        results.limits.append(
            {
                precision: in_own_process(
                    measure_limit, bundle, PRECISION_FILES[precision], images, plan.seconds
                )
                for precision in sorted(set(results.precisions.values()))
            }
        )
        results.visits.append({})
        for target in chosen:
            say(
                f"round {number + 1} of {plan.rounds}, {target.title}, {target.body}; "
                f"{time.monotonic() - began:.0f} s so far"
            )
            limit = results.limits[number][results.precisions.get(target.server, "fp32")]
            expected = np.array(limit.probabilities)
            visit = _visit(plan, target, bundle, requests[target.body], expected)
            if visit.failure:
                say(f"  {visit.failure}")
            results.visits[number][target.key] = visit
            results_file.write_text(results.model_dump_json(indent=1) + "\n")
    return results


def load_images() -> list[bytes]:
    """Full-size radiographs where there are some, else drawn ones of their mean size."""
    data = Path(os.environ.get("PNEUMO_DATA") or REPOSITORY.parent / "shared" / "data")
    files = [path.read_bytes() for path in sorted(data.glob("chest_xray_originals/*/*.jpeg"))]
    files = files or [
        as_jpeg(synthetic_radiograph(960, 1316, (seed % 4) / 4, seed=seed), 90)
        for seed in range(36)
    ]
    # In their own order, large files come first and small ones last; a window of time must not
    # see more of one kind than another does.
    random.Random(0).shuffle(files)  # noqa: S311 - an order, not a secret
    return files


def _facts(plan: Plan, images: Sequence[bytes]) -> dict[str, str]:
    """What was measured where."""
    pixels = [radiograph.rows * radiograph.columns for radiograph in map(decode, images)]
    packages = ("fastapi", "litserve", "numpy", "pillow", "onnxruntime", "opencv-python-headless")
    installed = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    kilobytes = np.mean([len(image) for image in images]) / 1e3
    asked = ("git", "rev-parse", "--short=12", "HEAD")
    revision = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=False)  # noqa: S603
    processor = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "Revision": revision.stdout.strip() or "unknown",
        "Machine": f"{processor[1] if processor else platform.machine()}, {cores()} cores, "
        f"{platform.system()} {platform.release()}",
        "Packages": f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {installed[name]}" for name in packages if name in installed),
        "Images": f"{len(images)} radiographs, JPEG, on average {kilobytes:.0f} kB and "
        f"{np.mean(pixels) / 1e6:.1f} megapixels",
        "Extent": f"{plan.rounds} rounds, {plan.seconds:g} s for each load after "
        f"{plan.warmup_s:g} s, on the CPU",
    }


def _first_answers(plan: Plan, request: bytes) -> dict[str, Any]:
    """The model and the precisions that this service answers with."""
    precisions, model = {}, ""
    for target in targets():
        if target.framework is None and target.body == "raw":
            port = free_port()
            with Server(target.command(plan, plan.models, port), port) as server:
                server.ready(request)
                answer = json.loads(server.ask(request)[1])
            precisions[target.server] = answer["precision"]
            model = f"{answer['model']['name']}/{answer['model']['version']}"
    return {"model": model, "precisions": precisions}


def _visit(
    plan: Plan, target: Target, bundle: Path, requests: Sequence[bytes], expected: np.ndarray
) -> Visit:
    port = free_port()
    try:
        with Server(target.command(plan, bundle, port), port) as server:
            start_s = server.ready(requests[0])
            difference = _difference(server, requests, expected, target)
            server.settle()
            cells: dict[str, Cell] = {}
            for load in target.loads:
                cells[load] = _cell(plan, server, requests, load, cells)
            memory_bytes = server.memory_bytes()
        return Visit(cells=cells, memory_bytes=memory_bytes, start_s=start_s, difference=difference)
    except (ServerFailed, LoadFailed) as error:
        return Visit(failure=str(error))


def _difference(
    server: Server, requests: Sequence[bytes], expected: np.ndarray, target: Target
) -> float:
    """Post every image once, and compare; a peer's own decode may differ as it does.

    Raises:
        ServerFailed: An answer is no 200, or not what the model says.
    """
    found = []
    for content in requests:
        status, body = server.ask(content)
        if status != OK:
            raise ServerFailed(f"it answered {status}: {body[:200]!r}")
        answer = json.loads(body)
        if "results" in answer:
            answer["probabilities"] = [f["probability"] for f in answer["results"][0]["findings"]]
        found.append(answer["probabilities"])
    difference = float(np.abs(np.array(found) - expected).max())
    # The default may be another precision than that of the session.
    allowed = 0.05 if target.server == DEFAULT else 1e-3
    if target.decoder == "ours" and not difference <= allowed:
        raise ServerFailed(f"its probabilities are off by up to {difference:.2g}")
    return difference


def _cell(
    plan: Plan, server: Server, requests: Sequence[bytes], load: str, before: dict[str, Cell]
) -> Cell:
    peak = max((cell.throughput for cell in before.values()), default=0)
    share = OVERLOAD_FACTOR if load == OVERLOAD else SHARES.get(load)
    if share is not None and not peak:
        raise LoadFailed("no load before this one got an answer")
    # More than the service lets in, less than the 1024 files that a process may open by default.
    connections = 512 if share is not None else int(load.split()[1])
    rate_per_s = None if share is None else peak * share
    what = Load(server.port, connections, plan.seconds, plan.warmup_s, rate_per_s)
    cpu_began = server.cpu_s()
    found = run(what, requests)
    cpu_ms = (server.cpu_s() - cpu_began) * 1000 / max(1, found.answers)
    return Cell(**found.model_dump(), cpu_ms=cpu_ms)
