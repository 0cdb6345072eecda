import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from service import runtime
from service.batch_plan import BatchPlan, warm
from service.errors import DeviceLost, ProviderUnavailable
from service.replicas import Devices, ReplicatedSession, replicas_of
from service.session import CPU, CUDA, ModelOutput, OnnxSession, SessionOptions
from tests.bundles import brightness_graph, make_manifest
from tests.integration.live import eventually

MANIFEST = make_manifest("sha256:" + 64 * "0")
GRAPH = brightness_graph().SerializeToString()
IMAGES = np.full((1, 32, 32, 1), 200, np.uint8)


class Replica:
    """A real session on the CPU that counts its runs, can be held up, and can lose its device."""

    def __init__(self, provider: str = CPU) -> None:
        self.provider = provider
        self.sizes: list[int] = []
        self.lost = False
        self.gate = threading.Event()
        self.gate.set()
        self._session = OnnxSession(GRAPH, MANIFEST, SessionOptions(provider="cpu"))

    def run(self, images: NDArray[np.uint8], *, activation_map: bool = False) -> ModelOutput:
        self.sizes.append(len(images))
        self.gate.wait()
        if self.lost:
            raise DeviceLost("The accelerator does not answer.")
        return self._session.run(images, activation_map=activation_map)


def test_a_batch_goes_to_the_device_that_has_the_least_to_do() -> None:
    replicas, devices = (Replica(), Replica(), Replica()), Devices(3)
    session = ReplicatedSession(replicas, devices)
    replicas[0].gate.clear()
    replicas[1].gate.clear()

    with ThreadPoolExecutor(2) as threads:
        held = [threads.submit(session.run, IMAGES) for _ in range(2)]
        eventually(lambda: devices.in_flight == (1, 1, 0))
        outputs = [session.run(IMAGES) for _ in range(4)]
        for replica in replicas:
            replica.gate.set()
        outputs += [run.result() for run in held]

    assert [len(replica.sizes) for replica in replicas] == [1, 1, 4]
    assert devices.in_flight == (0, 0, 0)
    alone = OnnxSession(GRAPH, MANIFEST, SessionOptions(provider="cpu")).run(IMAGES)
    assert all((output.probabilities == alone.probabilities).all() for output in outputs)


def test_the_batches_of_another_model_count_as_well() -> None:
    devices = Devices(2)
    first, second = (Replica(), Replica()), (Replica(), Replica())
    first[0].gate.clear()

    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(ReplicatedSession(first, devices).run, IMAGES)
        eventually(lambda: devices.in_flight == (1, 0))
        ReplicatedSession(second, devices).run(IMAGES)
        first[0].gate.set()
        held.result()

    assert [len(replica.sizes) for replica in second] == [0, 1]


def test_idle_devices_take_turns() -> None:
    replicas = Replica(), Replica(), Replica()
    session = ReplicatedSession(replicas, Devices(3))

    for _ in range(6):
        session.run(IMAGES)

    assert [len(replica.sizes) for replica in replicas] == [2, 2, 2]


def test_many_threads_leave_nothing_in_flight() -> None:
    replicas, devices = (Replica(), Replica()), Devices(2)
    session = ReplicatedSession(replicas, devices)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: session.run(IMAGES), range(200)))

    assert sum(len(replica.sizes) for replica in replicas) == 200
    assert devices.in_flight == (0, 0)


def test_a_lost_device_is_asked_next_by_every_model_and_hides_behind_no_other() -> None:
    devices = Devices(2)
    well, lost = Replica(), Replica()
    session, other = (
        ReplicatedSession((lost, well), devices),
        ReplicatedSession((lost, well), devices),
    )
    lost.lost = True

    for each in (session, other, session):
        with pytest.raises(DeviceLost):
            each.run(IMAGES)
    lost.lost = False
    other.run(IMAGES)

    assert (len(lost.sizes), len(well.sizes)) == (4, 0)
    assert devices.in_flight == (0, 0)


def test_every_size_of_a_plan_is_warmed_with_the_map_and_without() -> None:
    replica = Replica()

    warm(replica, MANIFEST, BatchPlan((1, 2, 4), 0.001))

    assert replica.sizes == [1, 1, 2, 2, 4, 4]


def test_a_session_that_is_not_replicated_is_its_only_replica() -> None:
    alone, two = Replica(), (Replica(), Replica())

    assert replicas_of(alone) == (alone,)
    assert replicas_of(ReplicatedSession(two, Devices(2))) == two


class OnDevices:
    """Opens sessions that say that they run on the GPUs there are, and else on the CPU."""

    def __init__(self, *gpus: int) -> None:
        self._gpus = gpus
        self.opened: list[int] = []

    def __call__(self, _model: bytes, _manifest: object, options: SessionOptions) -> Replica:
        self.opened.append(options.device)
        there = options.device in self._gpus
        if options.provider == "cuda" and not there:
            raise ProviderUnavailable("The model cannot run on CUDA: no GPU answers.")
        return Replica(CUDA if there and options.provider != "cpu" else CPU)


def test_each_gpu_gets_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = OnDevices(0, 1, 3)
    monkeypatch.setattr(runtime, "OnnxSession", devices)

    session = runtime.open_replicas(GRAPH, MANIFEST, SessionOptions(provider="cuda"), (3, 1))

    assert (len(replicas_of(session)), session.provider, devices.opened) == (2, CUDA, [3, 1])


def test_the_cpu_gets_one_session_whatever_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = OnDevices()
    monkeypatch.setattr(runtime, "OnnxSession", devices)

    session = runtime.open_replicas(GRAPH, MANIFEST, SessionOptions(), (0, 1))

    assert (len(replicas_of(session)), session.provider, devices.opened) == (1, CPU, [0])


def test_a_gpu_that_is_named_and_not_there_is_refused_also_by_auto(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "OnnxSession", OnDevices(0))

    with pytest.raises(ProviderUnavailable, match="no GPU answers"):
        runtime.open_replicas(GRAPH, MANIFEST, SessionOptions(provider="auto"), (0, 1))
