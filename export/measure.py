"""What a trained network costs as a graph: its size, and its time for one image."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from export.convert import convert, promised_signature
from export.errors import ExportError
from export.session import cpu_ms, open_session
from training.atomic import write_text
from training.graph_measurement import GRAPH_MEASUREMENT, GraphMeasurement, model_digest
from training.workdir import Workdir, load_trained


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
    found = [workdir, *sorted(workdir.glob("*"))]
    found = [folder for folder in found if Workdir(folder).model.is_file()]
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
    serving, quality = trained.serving_model(), trained.calibration.quality
    position = quality.position if quality else None
    proto = convert(serving, promised_signature(trained, serving), position)
    graph = bytes(proto.SerializeToString())
    # What is on the image makes no difference to a network of this kind.
    image = np.zeros((1, *trained.config.preprocessing.size, 1), np.uint8)
    [ms_per_image] = cpu_ms([open_session(graph, threads=1)], image)
    measurement = GraphMeasurement(
        model_digest=model_digest(workdir),
        parameters=trained.model.count_params(),
        size_bytes=len(graph),
        ms_per_image=ms_per_image,
        runtime=f"onnxruntime {onnxruntime.__version__}",
    )
    write_text(workdir / GRAPH_MEASUREMENT, measurement.model_dump_json(indent=2) + "\n")
    return measurement
