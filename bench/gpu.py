"""The GPU kit: one script, under 8 minutes, that writes docs/gpu.md.

It needs a Python with requirements/serve-gpu.txt and this repository, neither network nor
TensorFlow. A part that fails is written down with its reason, and the others go on. With
``--provider cpu`` everything but CUDA itself is tried anywhere. Run as ``python -m bench.gpu``.
"""

import http.client
import json
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import onnxruntime
import typer
from numpy.typing import NDArray

from bench.load import HOST, Load, request, run
from bench.report import number, table
from bench.run import REPOSITORY, load_images, serve_command
from bench.servers import Server, ServerFailed, free_port
from contract.golden import read_golden
from contract.manifest import PRECISION_FILES, ModelManifest, is_segmenter, read_manifest

Provider = Literal["cuda", "cpu"]
Session = onnxruntime.InferenceSession
BATCHES = (1, 2, 4, 8, 16, 32)
TOLERANCES = {"fp32": 1e-4, "fp16": 2e-2, "int8": 5e-2}
LIBRARIES = re.compile(r"/(lib(?:cu|nv|onnx)[^/]*\.so[^/ ]*)$", re.MULTILINE)
_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
# The service, whose CUDA context is destroyed a while after its start, as a lost device would.
_LOSES_ITS_DEVICE = """
import ctypes, re, sys, threading
from pathlib import Path
def lose():
    found = re.search(r"\\S*libcudart[^ \\n]*", Path("/proc/self/maps").read_text())
    if found:
        ctypes.CDLL(found[0]).cudaDeviceReset()
threading.Timer(float(sys.argv.pop(1)), lose).start()
from service.__main__ import main
main()
"""


def main(
    provider: Annotated[str, typer.Option(help="cuda or cpu.")] = "cuda",
    models: Annotated[Path, typer.Option(help="The model repository.")] = REPOSITORY / "models",
    page: Annotated[Path, typer.Option(help="The report.")] = REPOSITORY / "docs/gpu.md",
    seconds: Annotated[float, typer.Option(help="How long each load of the service takes.")] = 5,
    runs: Annotated[int, typer.Option(min=1, help="How often each graph is timed.")] = 100,
) -> None:
    """Try everything that a GPU is used for, and write what was found."""
    kit = Kit("cuda" if provider == "cuda" else "cpu", models.resolve(), seconds, runs)
    parts: dict[str, Callable[[], Iterable[str]]] = {
        "Machine, provider, libraries": kit.environment,
        "Parity with the CPU": kit.parity,
        "Ways to run a graph": kit.ways,
        "The service under load": kit.service,
        "Memory limit": kit.memory_limit,
        "Device lost": kit.device_lost,
    }
    intro = "Written by `make gpu`; do not edit. Where a part failed, its reason stands there."
    lines = [f"# On a GPU\n\n<!-- {intro} -->\n\nRun with the provider `{provider}`."]
    for title, part in parts.items():
        began = time.monotonic()
        lines.append(f"## {title}")
        try:
            lines += part()
        except Exception as error:  # noqa: BLE001 - whatever fails here is a finding
            lines.append(f"**Failed**: {type(error).__name__}: {error}")
        typer.echo(f"{title}: {time.monotonic() - began:.0f} s", err=True)
        page.write_text("\n\n".join(lines) + "\n")


class Kit:
    """The parts; each yields paragraphs of Markdown."""

    def __init__(
        self, provider: Provider, models: Path, seconds: float, runs: int, lost_after_s: float = 20
    ) -> None:
        """Take what all of them need; the device is lost so long after the service was started."""
        self._requests = [request("/predict", image, "raw") for image in load_images()]
        self._lost_after_s = lost_after_s
        self._provider = provider
        self._models = models
        self._seconds = seconds
        self._runs = runs
        if provider == "cuda":
            onnxruntime.preload_dlls()

    def environment(self) -> Iterator[str]:
        """What is there, and what a session really uses."""
        bundle, manifest = self._classifiers()[0]
        session = self._session(bundle / "model.onnx", self._provider)
        session.run(None, {"image": _images(bundle, manifest, 1)})
        used = session.get_providers()[0].removesuffix("ExecutionProvider").lower()
        loaded = sorted(set(LIBRARIES.findall(Path("/proc/self/maps").read_text())))
        gpu, query = "no nvidia-smi", "--query-gpu=name,driver_version,memory.total"
        if smi := shutil.which("nvidia-smi"):
            asked = (smi, query, "--format=csv,noheader")
            gpu = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
        facts = {
            "GPU": gpu,
            "System": f"{platform.platform()}, Python {platform.python_version()}",
            "ONNX Runtime": f"{onnxruntime.__version__}, {onnxruntime.get_build_info()}",
            "Providers of this build": ", ".join(onnxruntime.get_available_providers()),
            "Provider in use": used if used == self._provider else f"**{used}**, not asked for",
            "Libraries": ", ".join(f"`{name}`" for name in loaded) or "none",
        }
        yield "\n".join(f"- {name}: {text}" for name, text in facts.items())

    def parity(self) -> Iterator[str]:
        """The largest difference of a probability to the CPU's, for every file and batch size."""
        rows = []
        for bundle, manifest in self._classifiers():
            for precision in manifest.digests:
                file = bundle / PRECISION_FILES[precision]
                sessions = [self._session(file, each) for each in ("cpu", self._provider)]
                found = []
                for batch in BATCHES:
                    feed = {"image": _images(bundle, manifest, batch)}
                    old, new = (each.run(["probabilities"], feed)[0] for each in sessions)
                    found.append(float(np.abs(old - new).max()))
                verdict = "alike" if max(found) <= TOLERANCES[precision] else "**differs**"
                shown = (f"{difference:.1e}" for difference in found)
                rows.append((f"{manifest.name} {precision}", *shown, verdict))
        yield "TF32 is off."
        yield table(("model, batch size:", *map(str, BATCHES), ""), rows)

    def ways(self) -> Iterator[str]:
        """A plain run, one with inputs and outputs bound to the device, and a CUDA graph."""
        bundle, manifest = self._classifiers()[0]
        rows = []
        for batch in BATCHES:
            images = _images(bundle, manifest, batch)
            plain = self._session(bundle / "model.onnx", self._provider)
            run_plain = partial(plain.run, ["probabilities"], {"image": images})
            times = [self._median_ms(work) for work in (run_plain, self._bound(plain, images))]
            graph, best_per_s = self._as_cuda_graph(bundle, images), batch * 1000 / min(times)
            rows.append((str(batch), *map(number, times), graph, number(best_per_s)))
        yield f"{manifest.name}, medians of {self._runs} runs in milliseconds."
        header = ("batch", "plain run", "IO binding", "with a CUDA graph", "images/s without")
        yield table(header, rows)

    def service(self) -> Iterator[str]:
        """The benchmark's loads on the service."""
        rows, peak = [], 0.0
        with self._serve() as server:
            start_s = server.ready(self._requests[0])
            for connections, share in ((1, None), (16, None), (64, None), (512, 0.7)):
                rate = peak * share if share and peak else None
                load = Load(server.port, connections, self._seconds, self._seconds / 5, rate)
                figures = run(load, self._requests)
                peak = max(peak, figures.throughput)
                name = "open, 70 % of the peak" if share else f"closed, {connections}"
                values = (figures.throughput, figures.p50_ms, figures.p99_ms)
                rows.append((name, *map(number, values), json.dumps(figures.statuses)))
            memory = number(server.memory_bytes() / 2**20)
        yield f"First answer after {start_s:.1f} s; {memory} MiB of memory on the host."
        yield table(("load", "images/s", "p50 ms", "p99 ms", "statuses"), rows)

    def memory_limit(self) -> Iterator[str]:
        """A batch, and the service, with less memory on the device than they like."""
        bundle, manifest = self._classifiers()[0]
        mib = 64
        limit = {"gpu_mem_limit": str(mib << 20), "arena_extend_strategy": "kSameAsRequested"}
        session = self._session(bundle / "model.onnx", self._provider, limit)
        outcome = "it runs."
        try:
            session.run(["probabilities"], {"image": _images(bundle, manifest, 32)})
        except Exception as error:  # noqa: BLE001 - whatever the runtime raises is the finding
            outcome = f"{type(error).__name__}: {error}"
        yield f"With {mib} MiB, a batch of 32: {outcome}"
        try:
            with self._serve({"PNEUMO_GPU_MEM_LIMIT_BYTES": str(mib << 20)}) as server:
                server.ready(self._requests[0])
                yield f"The service with {mib} MiB: {self._asked(server)}."
        except ServerFailed as error:
            yield f"The service with {mib} MiB does not start: {error}"

    def device_lost(self) -> Iterator[str]:
        """No device at the start; and a context that is destroyed while the service runs."""
        try:
            with self._serve({"CUDA_VISIBLE_DEVICES": "-1"}) as server:
                server.ready(self._requests[0])
                yield "Without a device the service starts and answers."
        except ServerFailed as error:
            yield f"Without a device the service does not start: {error}"
        prefix = (sys.executable, "-c", _LOSES_ITS_DEVICE, str(self._lost_after_s))
        with self._serve(prefix=prefix) as server:
            server.ready(self._requests[0])
            yield f"Before the loss: {self._asked(server)}."
            time.sleep(self._lost_after_s)
            yield f"After it: {self._asked(server)}."
            time.sleep(2)
            yield f"Two seconds later: {self._asked(server)}."

    def _asked(self, server: Server) -> str:
        found = []
        ready = f"GET /health/ready HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        for path, content in (("/predict", self._requests[0]), ("/health/ready", ready)):
            try:
                found.append(f"`{path}` {server.ask(content)[0]}")
            except (OSError, http.client.HTTPException) as error:
                found.append(f"`{path}` no answer ({type(error).__name__})")
        return ", ".join(found)

    def _classifiers(self) -> list[tuple[Path, ModelManifest]]:
        bundles = sorted(self._models.glob("*/[0-9]*/manifest.json"))
        folders = [file.parent for file in bundles if not is_segmenter(file.parent)]
        if not folders:
            raise FileNotFoundError(f"{self._models} holds no classifier.")
        return [(folder, read_manifest(folder)) for folder in folders]

    def _session(
        self, file: Path, provider: Provider, options: dict[str, str] | None = None
    ) -> Session:
        cuda = ("CUDAExecutionProvider", {**_OPTIONS, **(options or {})})
        return Session(file, providers=[cuda] * (provider == "cuda") + ["CPUExecutionProvider"])

    def _as_cuda_graph(self, bundle: Path, images: NDArray[np.uint8]) -> str:
        """The time of a run as a CUDA graph, or why there is none."""
        if self._provider == "cpu":
            return "-"
        try:
            session = self._session(bundle / "model.onnx", "cuda", {"enable_cuda_graph": "1"})
            return number(self._median_ms(self._bound(session, images)))
        except Exception as error:  # noqa: BLE001 - whatever the runtime raises is the finding
            return f"{type(error).__name__}: {error}".replace("\n", " ")[:200]

    def _bound(self, session: Session, images: NDArray[np.uint8]) -> Callable[[], object]:
        """A run whose input and output stay where they are; a CUDA graph needs that."""
        binding = session.io_binding()
        value = onnxruntime.OrtValue.ortvalue_from_numpy(images, self._provider, 0)
        [classes] = (o.shape[1] for o in session.get_outputs() if o.name == "probabilities")
        output = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            (len(images), classes), np.float32, self._provider, 0
        )
        binding.bind_ortvalue_input("image", value)
        binding.bind_ortvalue_output("probabilities", output)

        def once() -> object:
            value.update_inplace(images)
            session.run_with_iobinding(binding)
            return output.numpy()

        return once

    def _median_ms(self, work: Callable[[], object]) -> float:
        times_s = timeit.repeat(work, repeat=self._runs + 3, number=1)
        return statistics.median(times_s[3:]) * 1000

    def _serve(
        self, environment: dict[str, str] | None = None, prefix: tuple[str, ...] = ()
    ) -> Server:
        port = free_port()
        command = serve_command(port, self._models, self._provider, environment or {})
        if prefix:
            command = command._replace(arguments=(*prefix, *command.arguments[1:]))
        return Server(command, port)


def _images(bundle: Path, manifest: ModelManifest, count: int) -> NDArray[np.uint8]:
    """The bundle's own golden images, over and over."""
    golden = read_golden(bundle, manifest)
    if golden is None:
        height, width = manifest.preprocessing.size
        return np.random.default_rng(0).integers(0, 256, (count, height, width, 1), dtype=np.uint8)
    return np.resize(golden.images, (count, *golden.images.shape[1:]))


if __name__ == "__main__":
    typer.run(main)
