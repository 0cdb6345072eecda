"""How the CPUs are best shared out: many runs of a model at once, or many threads in each."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from contract.manifest import read_manifest, read_verified_model
from service.recorded_split import RecordedSplit
from service.runtime import open_repository, session_options
from service.session import InferenceSession, OnnxSession
from service.settings import Settings

SECONDS = 1.0


def measure_thread_splits(settings: Settings, cpus: int) -> tuple[RecordedSplit, ...]:
    """Time the default model, one image a run, under every even split of the CPUs.

    It takes a second or so for each, on a machine that should do nothing else: too long and too
    easily wrong to be done whenever the service starts.

    Args:
        settings: Say which model.
        cpus: Those of one process.

    Returns:
        The fastest first.

    Raises:
        NoModel: There is no bundle, or not the default.
        ManifestError: A bundle is not what its manifest says.
    """
    model = open_repository(settings).get()
    bundle = settings.models_dir / model.bundle
    manifest = read_manifest(bundle)
    data, options = read_verified_model(bundle, manifest), session_options(settings)
    images = np.zeros((1, *manifest.preprocessing.size, 1), np.uint8)
    splits = []
    for runs, threads in even_splits(cpus):
        session = OnnxSession(data, manifest, replace(options, intra_op_threads=threads))
        splits.append(
            RecordedSplit(
                cpus=cpus,
                model=model.bundle,
                runs=runs,
                intra_op_threads=threads,
                images_per_s=_images_per_s(session, images, runs),
            )
        )
    return tuple(sorted(splits, key=lambda split: -split.images_per_s))


def even_splits(cpus: int) -> Iterator[tuple[int, int]]:
    """Runs and threads whose product is the number of CPUs, most runs first."""
    return ((cpus // threads, threads) for threads in range(1, cpus + 1) if cpus % threads == 0)


def _images_per_s(session: InferenceSession, images: NDArray[np.uint8], runs: int) -> float:
    session.run(images)
    counts = [0] * runs
    ends = time.perf_counter() + SECONDS

    def work(number: int) -> None:
        while time.perf_counter() < ends:
            session.run(images)
            counts[number] += 1

    _together(work, runs)
    return sum(counts) / SECONDS


def _together(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
