"""A network of a comparison: trained where it must be, measured, and asked what it costs."""

import contextlib
from pathlib import Path

import keras
from rich.console import Console

from training.atomic import write_text
from training.calibrate import calibrated
from training.compare.candidates import Network
from training.compare.comparison import NOT_MEASURED, Row
from training.compare.material import Material, Split, keep_row, kept_row, read_material
from training.compare.scores import Answers
from training.errors import CalibrationError, TrainingDiverged, WorkdirIncomplete, WorkdirMismatch
from training.graph_measurement import model_digest, read_graph_measurement
from training.input_pipeline import ImageBatches
from training.progress import progress_bar
from training.train import fit
from training.workdir import TrainedModel, Workdir


def compare_network(
    network: Network, data: Path, work: Workdir, material: Material, split: Split, console: Console
) -> Row:
    """Train a network in a folder of its own below the comparison's, and measure it.

    One that is finished is not trained again, one that was killed carries on.

    Args:
        network: The network.
        data: The data set's folder.
        work: The comparison's.
        material: The comparison's images.
        split: What to measure on beside the validation split.
        console: Where progress is shown.

    Returns:
        The row; one that only says why there are no figures, where the training has failed.

    Raises:
        WorkdirError: The folder holds another training, or cannot be written.
        DataError: The data set cannot be used.
    """
    own = Workdir(work.root / network.name)
    _share(work, own)
    try:
        trained = _trained(network, data, own, material, console)
    except (TrainingDiverged, CalibrationError) as error:
        return Row(name=network.name, kind="network", note=str(error))
    finally:
        keras.utils.clear_session()
    if network.recipe.preprocessing != material.recipe.preprocessing:
        with progress_bar(console) as bar:
            material = read_material(network.recipe, data, own, split, bar)
    key = material.key(network.name, model_digest(own.root), trained.calibration.model_dump_json())
    row = kept_row(own, key) or keep_row(own, key, _measure(network, trained, material))
    return _with_costs(row, own)


def _trained(
    network: Network, data: Path, own: Workdir, material: Material, console: Console
) -> TrainedModel:
    with contextlib.suppress(WorkdirIncomplete):
        found = own.load()
        digest = found.provenance.data_digest
        if found.config == network.recipe and digest == material.source.digest:
            return found
    console.print(f"training {network.name}")
    fit(network.recipe, data, own.root, console)
    return own.load()


def _share(work: Workdir, own: Workdir) -> None:
    """Give a network the comparison's split, and its decoded images.

    Raises:
        WorkdirMismatch: The folder holds a training with another split.
        WriteFailed: The folder cannot be written.
    """
    split = work.split_table.read_text(encoding="utf-8")
    if not own.split_table.is_file():
        write_text(own.split_table, split)
    elif own.split_table.read_text(encoding="utf-8") != split:
        raise WorkdirMismatch(
            f"{own.root} holds a training with another split. Remove it, or give a new workdir."
        )
    # Where there are no links the images are decoded once more, and that is all.
    with contextlib.suppress(OSError):
        own.cache.symlink_to(Path("..") / work.cache.name, target_is_directory=True)


def _measure(network: Network, trained: TrainedModel, material: Material) -> Row:
    serving = trained.serving_model()
    points = [finding.operating_point for finding in trained.calibration.findings]
    scores = {}
    for split, held_out in material.held_out.items():
        batches = ImageBatches(held_out.images, held_out.rows)
        logits = serving.predict(batches, verbose=0)["logits"]
        # The graph's own softmax rounds otherwise, and an operating point is one image's score.
        probabilities = calibrated(logits, trained.calibration.temperature)
        answers = Answers(probabilities, held_out.classes, held_out.patients, material.positive)
        scores[split] = answers.scores(points, material.recipe.seed)
    return Row(name=network.name, kind="network", parameters=trained.model.count_params(), **scores)


def _with_costs(row: Row, own: Workdir) -> Row:
    costs = read_graph_measurement(own.root)
    if costs is None:
        return row.model_copy(update={"note": NOT_MEASURED})
    return row.model_copy(
        update={"onnx_bytes": costs.size_bytes, "ms_per_image": costs.ms_per_image}
    )
