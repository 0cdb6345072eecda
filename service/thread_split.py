"""How the CPUs are best shared out: many images at once, or many threads for the model of each."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from service.answering import read_and_answer
from service.batch_plan import SINGLE_IMAGES
from service.prediction import PredictionOptions, Upload
from service.reading import Reader
from service.recorded_split import RecordedSplit
from service.repository import ModelRepository, ServedModel, load_model
from service.runtime import open_repository, session_options
from service.session import OnnxSession
from service.settings import Settings
from service.stages import finish

SECONDS = 1.0
ROWS, COLUMNS = 1024, 1280


def measure_thread_splits(settings: Settings, cpus: int) -> tuple[RecordedSplit, ...]:
    """Have a radiograph read and answered by the default model under every even split of the CPUs.

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
    name = open_repository(settings).get().bundle
    upload = Upload(None, (_radiograph(),))
    splits = []
    for runs, threads in even_splits(cpus):
        options = replace(session_options(settings), intra_op_threads=threads)
        model = load_model(
            settings.models_dir / name, partial(OnnxSession, options=options), settings.precision
        )
        splits.append(
            RecordedSplit(
                cpus=cpus,
                model=name,
                runs=runs,
                intra_op_threads=threads,
                images_per_s=_images_per_s(model, upload, runs, settings.max_pixels),
            )
        )
    return tuple(sorted(splits, key=lambda split: -split.images_per_s))


def even_splits(cpus: int) -> Iterator[tuple[int, int]]:
    """Runs and threads whose product is the number of CPUs, most runs first."""
    return ((cpus // threads, threads) for threads in range(1, cpus + 1) if cpus % threads == 0)


def _images_per_s(model: ServedModel, upload: Upload, runs: int, max_pixels: int) -> float:
    # One by one, whatever would be won by batches: those have threads of their own.
    model = replace(model, plan=SINGLE_IMAGES)
    repository = ModelRepository({model.manifest.name: {model.manifest.version: model}})
    reader = Reader(repository, max_pixels)
    counts = [0] * runs

    def read() -> None:
        finish(read_and_answer(upload, model, reader, PredictionOptions()))

    def work(number: int) -> None:
        while time.perf_counter() < began + SECONDS:
            read()
            counts[number] += 1

    read()
    began = time.perf_counter()
    _together(work, runs)
    return sum(counts) / (time.perf_counter() - began)


def _together(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _radiograph() -> bytes:
    """A JPEG with the pixels and about the bytes of a radiograph, and nothing on it."""
    grain = np.random.default_rng(0).normal(scale=6, size=(ROWS, COLUMNS))
    shade = 98 + 60 * np.sin(np.linspace(0, np.pi, COLUMNS))
    file = io.BytesIO()
    Image.fromarray((shade + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()
