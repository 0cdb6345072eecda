"""Faster files beside a bundle's model.onnx: made from it, compared with it, only then added."""

import csv
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from contract.decision import OodResult, decide
from contract.findings import Label
from contract.golden import read_golden
from contract.manifest import (
    GOLDEN_FILE,
    OOD_SCORE,
    PRECISION_FILES,
    ModelManifest,
    ReducedPrecision,
    Variant,
    read_verified_model,
    sha256_digest,
)
from contract.quality import Quality
from export.errors import VariantRefused
from export.graph import tensor_specs
from export.reduced import to_fp16, to_int8
from export.session import open_session, run_in_batches
from export.store import draw_phantoms, golden_answers, replace_bundle
from export.verify import open_bundle, read_image, read_images
from training.metrics import macro_auroc
from training.source import read_training_data
from training.workdir import load_trained

CALIBRATION_IMAGES = 256
MAX_AUROC_DROP = 0.005
MIN_AGREEMENT = 0.99
WARM_UP_RUNS = 5
TIMED_RUNS = 100

LabelledFiles = Sequence[tuple[Path, int]]
"""Files, each with the output that is right for it."""


@dataclass(frozen=True, slots=True)
class ValidationImages:
    """What both graphs are asked for.

    ``images`` is uint8, shape (n, height, width, 1); ``classes`` is int, shape (n,): the true class
    of each; ``qualities`` has the checks of each, None where the model has no limits.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    qualities: tuple[Quality | None, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two graphs compare on the same images; both shares are 0 to 1."""

    images: int
    auroc_fp32: float
    auroc: float
    agreement: float

    def check(self) -> None:
        """Refuse a graph that does not answer as the float32 one.

        Raises:
            VariantRefused: Its AUROC is lower by more than 0.005, or it decides less than 99 %
                alike.
        """
        # Not-a-number compares false with everything, so the accepted case is the one spelt out.
        lost = self.auroc_fp32 - self.auroc
        if not (lost <= MAX_AUROC_DROP and self.agreement >= MIN_AGREEMENT):
            raise VariantRefused(
                f"AUROC {self.auroc_fp32:.4f} in fp32 and {self.auroc:.4f} in this precision, "
                f"{self.agreement:.2%} of {self.images} validation images decided alike. At most "
                f"{MAX_AUROC_DROP} may be lost, and at least {MIN_AGREEMENT:.0%} must agree. "
                "Nothing was written."
            )


def quantize_bundle(
    bundle: Path, workdir: Path, data: Path, precision: ReducedPrecision
) -> Variant:
    """Make a faster file of a bundle's graph, and add it where it answers alike.

    Args:
        bundle: ``models/<name>/<version>``.
        workdir: Of the training that the bundle comes from.
        data: The data set of that training: some of its training images say how large activations
            become, all of its validation images compare the two files.
        precision: ``int8`` or ``fp16``.

    Returns:
        What was found and written down.

    Raises:
        ManifestError: The manifest, a digest or the signature is wrong.
        ImageError: An image cannot be read any more.
        ExportError: The new file does not answer as model.onnx does, the bundle has one of this
            precision, or the workdir is of another training. Nothing is written then.
        TrainingError: The workdir is not complete, or the data are not those of the training.
    """
    manifest, _ = open_bundle(bundle)
    if precision in manifest.digests:
        raise VariantRefused(
            f"{bundle.parent.name}/{bundle.name} has a file in {precision}, and what is in a "
            "bundle never changes: export the model again as the next version."
        )
    splits = _read_splits(workdir, data, manifest)
    model = read_verified_model(bundle, manifest)
    reduced = _reduced(model, precision, splits["train"], manifest)
    graph = onnx.load_from_string(reduced).graph
    manifest.check_signature(tensor_specs(graph.input), tensor_specs(graph.output))
    old, new = open_session(model, threads=1), open_session(reduced, threads=1)
    validation = _validation_images(splits["validation"], manifest)
    found = compare(manifest, old, new, validation)
    found.check()
    variant = Variant(
        precision=precision,
        digest=sha256_digest(reduced),
        images=found.images,
        auroc=found.auroc,
        auroc_fp32=found.auroc_fp32,
        agreement=found.agreement,
        speedup=measure_speedup(old, new, validation.images[:1]),
        runtime=f"onnxruntime {onnxruntime.__version__}",
    )
    golden = read_golden(bundle, manifest)
    images = golden.images if golden else draw_phantoms(*manifest.preprocessing.size)
    sessions = {
        str(name): open_session(read_verified_model(bundle, manifest, name))
        for name in manifest.digests
    }
    answers = golden_answers({**sessions, precision: new}, images)
    changes = {
        "variants": (*manifest.variants, variant),
        "golden_digest": sha256_digest(answers),
    }
    files = {PRECISION_FILES[precision]: reduced, GOLDEN_FILE: answers}
    replace_bundle(bundle, manifest.model_copy(update=changes), files)
    return variant


def summary(variant: Variant) -> str:
    """One line on what was added; that it is not faster here is said, and refuses nothing."""
    slower = "" if variant.speedup > 1 else ", so it gains nothing here"
    return (
        f"{PRECISION_FILES[variant.precision]}: AUROC {variant.auroc:.4f}, in fp32 "
        f"{variant.auroc_fp32:.4f}; {variant.agreement:.2%} of {variant.images} validation images "
        "decided alike; "
        f"{variant.speedup:.2f} times as fast as fp32 on one CPU thread of this machine{slower}."
    )


def compare(
    manifest: ModelManifest,
    reference: onnxruntime.InferenceSession,
    candidate: onnxruntime.InferenceSession,
    validation: ValidationImages,
) -> Agreement:
    """Ask two graphs the same, and decide as the service does, gates included.

    Two answers are alike where they name the same finding, or both refer, and where both find the
    image familiar or both do not.
    """
    old, new = (run_in_batches(session, validation.images) for session in (reference, candidate))
    verdicts = (_verdicts(manifest, outputs, validation) for outputs in (old, new))
    alike = [first == second for first, second in zip(*verdicts, strict=True)]
    return Agreement(
        images=len(alike),
        auroc_fp32=_auroc(old["probabilities"], validation.classes),
        auroc=_auroc(new["probabilities"], validation.classes),
        agreement=float(np.mean(alike)),
    )


def measure_speedup(
    reference: onnxruntime.InferenceSession,
    candidate: onnxruntime.InferenceSession,
    image: NDArray[np.uint8],
) -> float:
    """How many times less CPU time the second one needs for an image, in turns with the first.

    Args:
        reference: A session of one thread.
        candidate: Another one of one thread.
        image: uint8, shape (1, height, width, 1).

    Returns:
        The ratio of the medians. It is the thread's own time: what else the machine does meanwhile
        does not count.
    """
    times = [
        (_thread_time(reference, image), _thread_time(candidate, image))
        for _ in range(WARM_UP_RUNS + TIMED_RUNS)
    ]
    old, new = zip(*times[WARM_UP_RUNS:], strict=True)
    return float(statistics.median(old) / statistics.median(new))


def _thread_time(session: onnxruntime.InferenceSession, image: NDArray[np.uint8]) -> float:
    # What a request without a heatmap asks for.
    asked = [output.name for output in session.get_outputs() if output.name != "activation_map"]
    began = time.thread_time()
    session.run(asked, {"image": image})
    return time.thread_time() - began


def _auroc(probabilities: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    once = np.ones((1, len(classes)))
    return float(macro_auroc(probabilities.astype(np.float64), classes, once)[0])


def _verdicts(
    manifest: ModelManifest, outputs: dict[str, NDArray[np.float32]], validation: ValidationImages
) -> list[tuple[Label | None, bool]]:
    gate, found = manifest.out_of_distribution, []
    for number, row in enumerate(outputs["probabilities"].tolist()):
        out_of_distribution = (
            OodResult(score=float(outputs[OOD_SCORE][number]), limit=gate.limit) if gate else None
        )
        decision = decide(
            manifest.labels,
            row,
            manifest.operating_points,
            quality=validation.qualities[number],
            out_of_distribution=out_of_distribution,
        )
        found.append((decision.label, "out_of_distribution" in decision.reasons))
    return found


def _read_splits(workdir: Path, data: Path, manifest: ModelManifest) -> Mapping[str, LabelledFiles]:
    """The files of the training and the validation split, with their labels."""
    trained = load_trained(workdir)
    if trained.provenance != manifest.provenance:
        raise VariantRefused(
            f"{workdir} is of another training than {manifest.name} version {manifest.version}."
        )
    dataset, _ = read_training_data(trained, data)
    splits: dict[str, list[tuple[Path, int]]] = {"train": [], "validation": []}
    outputs = {str(label): number for number, label in enumerate(manifest.labels)}
    with (workdir / "split.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            if row["split"] in splits:
                splits[row["split"]].append((dataset.root / row["path"], outputs[row["label"]]))
    return splits


def _reduced(
    model: bytes, precision: ReducedPrecision, training: LabelledFiles, manifest: ModelManifest
) -> bytes:
    if precision == "fp16":
        return to_fp16(model)
    files = [file for file, _ in training]
    # Spread evenly over the table, where the classes and the sources follow one another.
    chosen = files[:: max(1, len(files) // CALIBRATION_IMAGES)][:CALIBRATION_IMAGES]
    return to_int8(model, read_images(chosen, manifest.preprocessing))


def _validation_images(files: LabelledFiles, manifest: ModelManifest) -> ValidationImages:
    images, qualities = zip(*(read_image(file, manifest) for file, _ in files), strict=True)
    classes = [output for _, output in files]
    return ValidationImages(np.stack(images), np.array(classes, np.int64), qualities)
