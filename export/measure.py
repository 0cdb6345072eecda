"""What a trained network costs as a graph: its size, and its time for one image."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from export.convert import convert, promised_signature
from export.errors import ExportError
from export.session import open_session
from training.atomic import write_text
from training.graph_measurement import GRAPH_MEASUREMENT, GraphMeasurement, model_digest
from training.workdir import TrainedModel, Workdir, load_trained

WARM_UP_RUNS = 10
TIMED_RUNS = 100


def measure_graphs(workdir: Path) -> Iterator[tuple[str, GraphMeasurement]]:
    """Measure the network of a workdir, or those of all candidates of a comparison.

    Args:
        workdir: Of ``pneumo-train fit`` or ``pneumo-train compare``.

    Yields:
        The name of each workdir, and what was measured and written into it.

    Raises:
        ExportError: There is no finished training, or a model does not convert.
        TrainingError: A workdir is not complete, or cannot be written.
    """
    found = [workdir] if Workdir(workdir).model.is_file() else _candidates(workdir)
    if not found:
        raise ExportError(
            f"{workdir} holds no finished training: run pneumo-train fit or compare first."
        )
    for folder in found:
        yield folder.name, measure_graph(folder)


def measure_graph(workdir: Path) -> GraphMeasurement:
    """Convert a trained network, time it on one thread of the CPU, and write down what it costs.

    Args:
        workdir: Of the finished training; ``onnx.json`` is written into it.

    Raises:
        ExportError: The model does not convert.
        TrainingError: The workdir is not complete, or cannot be written.
    """
    trained = load_trained(workdir)
    graph = _graph(trained)
    measurement = GraphMeasurement(
        model_digest=model_digest(workdir),
        parameters=trained.model.count_params(),
        size_bytes=len(graph),
        ms_per_image=_ms_per_image(graph, trained.config.preprocessing.size),
        runtime=f"onnxruntime {onnxruntime.__version__}",
    )
    write_text(workdir / GRAPH_MEASUREMENT, measurement.model_dump_json(indent=2) + "\n")
    return measurement


def _candidates(workdir: Path) -> list[Path]:
    return sorted(folder for folder in workdir.glob("*") if Workdir(folder).model.is_file())


def _graph(trained: TrainedModel) -> bytes:
    serving, quality = trained.serving_model(), trained.calibration.quality
    position = quality.position if quality else None
    proto = convert(serving, promised_signature(trained, serving), position)
    return bytes(proto.SerializeToString())


def _ms_per_image(graph: bytes, size: tuple[int, int]) -> float:
    """The median; what is on the image makes no difference to a network of this kind."""
    session = open_session(graph, threads=1)
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 1), dtype=np.uint8)
    times_ms = []
    for _ in range(WARM_UP_RUNS + TIMED_RUNS):
        began = time.perf_counter()
        session.run(None, {"image": image})
        times_ms.append((time.perf_counter() - began) * 1000)
    return statistics.median(times_ms[WARM_UP_RUNS:])
