"""Files that are not plain: what they may cost, and what outlives the process that decodes them."""

import asyncio
import gzip
import io
import os
import resource
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import JPEG2000Lossless

from contract.cost import DecodeCost
from contract.errors import NotAnImage
from contract.preprocessing import PreprocessingSpec
from service.decoders import Decoders
from service.domain import Priority
from service.errors import FileFailed, ProblemType
from tests.bundles import write_bundle
from tests.integration.live import REPOSITORY, Process, alive, eventually, process
from tests.refusals import refused
from tests.synthetic import as_dicom, as_png, synthetic_radiograph

HOSTILE = Path(__file__).resolve().parents[1] / "cases" / "hostile"
CEILING_BYTES = 1_000_000_000
SERVICE_CEILING_BYTES = 2_000_000_000
CEILING_CPU_S = 5
LIVE_S = 0.1
MIB = 1024 * 1024
STEPS = 64
COSTLY = as_dicom(np.full((64, 64), 240, np.uint8), TransferSyntaxUID=JPEG2000Lossless)
SPEC = PreprocessingSpec(height=32, width=32)
GOOD = as_png(np.full((64, 64), 200, np.uint8))
CHEAP = DecodeCost(plain=False, memory_bytes=MIB)


def hostile(name: str) -> bytes:
    data = (HOSTILE / name).read_bytes()
    return gzip.decompress(data) if name.endswith(".gz") else data


def hostile_names() -> list[str]:
    return sorted(file.name for file in HOSTILE.glob("*") if file.suffix != ".md")


def slow_file() -> bytes:
    """A progressive JPEG of nine million pixels of noise: a sound file that takes a while."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (3000, 3000), np.uint8)
    Image.fromarray(noise).save(file, "JPEG", quality=90, progressive=True)
    return file.getvalue()


def children(pid: int) -> set[int]:
    try:
        lists = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return set()
    return {int(child) for each in lists for child in each.split()}


def descendants(pid: int) -> list[int]:
    found = children(pid)
    return [*found, *(each for child in found for each in descendants(child))]


def decoders_of(pid: int) -> set[int]:
    """The decoders of a process, and not those of a service that it has started."""
    return {child for child in children(pid) if "decode_worker" in read(child, "cmdline")}


def read(pid: int, name: str) -> str:
    """What the kernel tells of a process; nothing where it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def cpu_seconds(pid: int) -> float:
    fields = read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def bytes_of(pid: int, file: str, name: str) -> int:
    """A line of what the kernel tells of a process's memory."""
    lines = read(pid, file).splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def loop_seconds(pid: int) -> float:
    """What the thread of the event loop, the first of its process, has had of the CPU."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


class Watch:
    """The most memory of any process of a service, and the CPU time of each, while files come.

    ``together`` is the most memory of all of them at one time.
    ``blocked`` has what the event loop computed while each ``/health/live`` waited for its answer:
    whatever else the machine does, that long it kept the client waiting.
    """

    def __init__(self, service: Process) -> None:
        self.highest: dict[int, int] = {}
        self.together = 0
        self.cpu: dict[int, list[float]] = {}
        self.live: list[int] = []
        self.blocked: list[float] = []
        self._service = service
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        with httpx.Client(base_url=self._service.url, trust_env=False, timeout=60) as client:
            ended = False
            while not ended:
                # It looks once more after the end: what is refused at once is over before that.
                ended = self._end.wait(0.05)
                pids = (self._service.popen.pid, *descendants(self._service.popen.pid))
                self.together = max(
                    self.together, sum(bytes_of(pid, "smaps_rollup", "Pss:") for pid in pids)
                )
                for pid in pids:
                    self.highest[pid] = max(
                        self.highest.get(pid, 0), bytes_of(pid, "status", "VmHWM")
                    )
                    self.cpu.setdefault(pid, []).append(cpu_seconds(pid))
                spent = loop_seconds(self._service.popen.pid)
                self.live.append(client.get("/health/live").status_code)
                self.blocked.append(loop_seconds(self._service.popen.pid) - spent)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    models = tmp_path_factory.mktemp("models")
    write_bundle(models)
    with process(models, PNEUMO_DECODERS="1", PNEUMO_SHUTDOWN_TIMEOUT_S="5") as running:
        yield running


@pytest.mark.parametrize("name", hostile_names())
def test_a_hostile_file_stays_below_the_ceiling_and_the_service_lives(
    service: Process, name: str, radiograph: bytes
) -> None:
    file = hostile(name)

    watch = Watch(service)
    try:
        answer = service.post(content=file)
    finally:
        watch.stop()

    assert answer.status_code in (200, 413, 415, 422, 500)
    assert max(watch.highest.values()) < CEILING_BYTES
    assert 0 < watch.together < SERVICE_CEILING_BYTES
    # The kernel counts to the end of a second, and a sample may have the one before in it.
    assert all(max(spent) - min(spent) <= CEILING_CPU_S + 0.5 for spent in watch.cpu.values())
    assert set(watch.live) <= {200}
    assert max(watch.blocked) <= LIVE_S
    assert service.post(content=radiograph).status_code == 200


def test_sixteen_cores_take_no_more_memory_than_the_service_may() -> None:
    flat = np.full((4900, 5000), 200, np.uint8)
    files = [as_png(flat)] * 16 + [as_dicom(flat, TransferSyntaxUID=JPEG2000Lossless)] * 3

    with (
        process(
            REPOSITORY / "models",
            PNEUMO_THREADS="16",
            PNEUMO_DECODERS="4",
            PNEUMO_REQUEST_DEADLINE_S="300",
        ) as service,
        ThreadPoolExecutor(19) as clients,
    ):
        watch = Watch(service)
        try:
            answers = list(clients.map(lambda file: service.post(content=file), files))
        finally:
            watch.stop()

    assert {answer.status_code for answer in answers} == {200}
    assert 0 < watch.together < SERVICE_CEILING_BYTES


def test_what_is_not_plain_is_answered_as_what_is(service: Process) -> None:
    answer = service.post(content=COSTLY)

    assert answer.status_code == 200, answer.text
    assert answer.json()["results"][0]["decision"] == "pneumonia"


def test_wherever_the_address_space_ends_it_costs_the_file_alone(
    service: Process, radiograph: bytes
) -> None:
    file = as_dicom(synthetic_radiograph(2000, 2000), TransferSyntaxUID=JPEG2000Lossless)
    assert service.post(content=file).status_code == 200
    (decoder,) = decoders_of(service.popen.pid)
    own = int(Path(f"/proc/{decoder}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")

    seen: Counter[int] = Counter()
    for step in range(STEPS):
        while not (there := decoders_of(service.popen.pid)):
            service.post(content=COSTLY)
        # The hard limit, above which the decoder cannot set its own.
        most = own + (STEPS - step - 1) * MIB
        resource.prlimit(there.pop(), resource.RLIMIT_AS, (most, most))
        answer = service.post(content=file)
        seen[answer.status_code] += 1
        assert "findings" in answer.text or answer.json()["type"].startswith("/problems/")
        assert service.post(content=radiograph).status_code == 200
        assert service.get("/health/live").status_code == 200

    assert seen[200] > 0
    assert seen[200] < STEPS
    assert set(seen) <= {200, 413, 422, 500}
    for each in decoders_of(service.popen.pid):
        os.kill(each, signal.SIGKILL)
    eventually(lambda: service.post(content=file).status_code == 200)


def test_plain_files_are_answered_while_every_decoder_is_busy(
    service: Process, radiograph: bytes
) -> None:
    slow = slow_file()

    with ThreadPoolExecutor(2) as clients:
        busy = [clients.submit(service.post, content=slow) for _ in range(2)]
        plain = service.post(content=radiograph)
        unfinished = sum(not each.done() for each in busy)
        answers = [each.result() for each in busy]

    assert plain.status_code == 200
    assert unfinished > 0
    assert {answer.status_code for answer in answers} <= {200, 413}


def test_a_stop_waits_for_no_decoder_beyond_its_grace_period(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    slow = slow_file()

    with (
        process(tmp_path, PNEUMO_SHUTDOWN_TIMEOUT_S="1") as running,
        ThreadPoolExecutor(1) as clients,
    ):
        assert running.post(content=COSTLY).status_code == 200
        family = descendants(running.popen.pid)
        client = clients.submit(running.post, content=slow)
        eventually(lambda: "in_flight 1.0" in running.get("/metrics").text)
        for decoder in decoders_of(running.popen.pid):
            os.kill(decoder, signal.SIGSTOP)
        running.popen.send_signal(signal.SIGTERM)
        exit_code = running.popen.wait(timeout=60)
        client.exception(60)
        eventually(lambda: not any(map(alive, family)))

    assert exit_code == 0


def test_decoders_end_where_the_service_is_killed(tmp_path: Path) -> None:
    write_bundle(tmp_path)

    with process(tmp_path) as running:
        assert running.post(content=COSTLY).status_code == 200
        family = decoders_of(running.popen.pid)
        running.popen.kill()
        assert family
        eventually(lambda: not any(map(alive, family)))


class Decoding:
    """One decoder, of this process, and the pid of the process that it is now."""

    def __init__(self, budget: int) -> None:
        self._others = decoders_of(os.getpid())
        self.decoders = Decoders(1, budget, 100_000_000)

    async def decode(
        self, file: bytes = GOOD, cost: DecodeCost = CHEAP, priority: Priority = Priority.ROUTINE
    ) -> NDArray[np.uint8]:
        _, images = await self.decoders.decode(
            (file,), cost, priority, frame=1, at_least=SPEC.size, specs=(SPEC,)
        )
        return images[SPEC]

    async def pid(self) -> int:
        """That of its process, which has decoded a file."""
        assert (await self.decode()).mean() == 200
        (found,) = decoders_of(os.getpid()) - self._others
        return found


@pytest.fixture
async def decoding(request: pytest.FixtureRequest) -> AsyncIterator[Decoding]:
    made = Decoding(getattr(request, "param", CEILING_BYTES))
    yield made
    await made.decoders.close()


def with_a_budget_of(mebibytes: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("decoding", [mebibytes * MIB], indirect=True)


@pytest.mark.anyio
async def test_a_decoder_that_is_killed_costs_its_file_at_most_and_is_replaced(
    decoding: Decoding,
) -> None:
    cost = DecodeCost(plain=False, memory_bytes=400 * MIB)
    decoder = await decoding.pid()
    work = asyncio.create_task(decoding.decode(slow_file(), cost))
    before = cpu_seconds(decoder)
    await asyncio.to_thread(eventually, lambda: cpu_seconds(decoder) > before)
    os.kill(decoder, signal.SIGKILL)

    with pytest.raises(FileFailed) as failed:
        await work

    assert failed.value.kind == "DecoderEnded"
    idle = await decoding.pid()
    os.kill(idle, signal.SIGKILL)
    await asyncio.to_thread(eventually, lambda: not alive(idle))
    await asyncio.sleep(0.1)
    assert (await decoding.decode()).mean() == 200


@pytest.mark.anyio
@with_a_budget_of(400)
async def test_a_request_that_is_cancelled_loses_neither_decoders_nor_memory_nor_files(
    decoding: Decoding,
) -> None:
    slow, cost = slow_file(), DecodeCost(plain=False, memory_bytes=300 * MIB)
    for wait_s in (0, 0.01, 0.5):
        files = (decoding.decode(slow, cost, Priority.STAT) for _ in range(4))
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*files), wait_s)
    image = await asyncio.wait_for(decoding.decode(GOOD, cost), 60)

    assert image.mean() == 200
    assert not _memory_files()


@pytest.mark.anyio
async def test_a_decoder_that_hangs_costs_its_file_and_is_replaced(
    decoding: Decoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.kill(await decoding.pid(), signal.SIGSTOP)
    with monkeypatch.context() as patched:
        patched.setattr("service.decoders.WALL_S", 0.2)
        with refused(ProblemType.FILE_TOO_COSTLY, match=r"more than 0\.2 s"):
            await decoding.decode()

    assert (await decoding.decode()).mean() == 200


@pytest.mark.anyio
async def test_while_no_decoder_starts_none_is_available_and_a_file_waits_for_one(
    decoding: Decoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.decoders.RETRY_S", 0.01)
    with monkeypatch.context() as patched:
        patched.setattr("service.decoders._COMMAND", ("/bin/false",))
        waiting = asyncio.create_task(decoding.decode())
        await asyncio.to_thread(eventually, lambda: not decoding.decoders.available)

    assert (await asyncio.wait_for(waiting, 60)).mean() == 200
    assert decoding.decoders.available


@pytest.mark.anyio
@with_a_budget_of(50)
async def test_a_file_that_may_never_fit_is_refused(decoding: Decoding) -> None:
    with refused(ProblemType.FILE_TOO_COSTLY):
        await decoding.decode()


@pytest.mark.anyio
@with_a_budget_of(100)
async def test_a_file_that_fits_later_waits(decoding: Decoding) -> None:
    first, wrong, last = await asyncio.gather(
        *map(decoding.decode, (GOOD, b"no image at all" * 10, GOOD)), return_exceptions=True
    )

    assert isinstance(wrong, NotAnImage)
    assert isinstance(first, np.ndarray)
    assert isinstance(last, np.ndarray)


def _memory_files() -> list[str]:
    """What this process has open in memory alone."""
    paths = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return [str(path) for path in paths if "memfd:image" in str(path)]
