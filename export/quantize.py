"""Faster files beside a bundle's model.onnx: made from it, compared with it, only then added."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from contract.manifest import (
    GOLDEN_FILE,
    PRECISION_FILES,
    ModelManifest,
    ReducedPrecision,
    Variant,
    read_verified_model,
    sha256_digest,
)
from export.bundle import spread, used_images
from export.errors import VariantRefused
from export.graph import tensor_specs
from export.reduced import to_fp16, to_int8
from export.session import cpu_ms, open_session, run_in_batches
from export.store import golden_answers, golden_images, replace_bundle
from export.verify import decide_all, open_bundle, read_image, read_images
from training.metrics import macro_auroc
from training.workdir import load_trained

CALIBRATION_IMAGES = 256
MAX_AUROC_DROP = 0.005
MIN_AGREEMENT = 0.99


class Agreement(NamedTuple):
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

    Some training images of the bundle's own training say how large activations become, all of its
    validation images compare the two files.

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
    trained = load_trained(workdir)
    if trained.provenance != manifest.provenance:
        raise VariantRefused(
            f"{workdir} is of another training than {manifest.name} version {manifest.version}."
        )
    used = used_images(trained, workdir, data)
    model = read_verified_model(bundle, manifest)
    if precision == "fp16":
        reduced = to_fp16(model)
    else:
        calibrating = spread(used, "train", CALIBRATION_IMAGES)
        reduced = to_int8(model, read_images(calibrating, manifest.preprocessing))
    graph = onnx.load_from_string(reduced).graph
    manifest.check_signature(tensor_specs(graph.input), tensor_specs(graph.output))
    old, new = open_session(model, threads=1), open_session(reduced, threads=1)
    validation = used[used["split"] == "validation"]
    planes, sizes = zip(
        *(read_image(file, manifest.preprocessing) for file in validation["file"]), strict=True
    )
    images = np.stack(planes)
    order = {str(label): number for number, label in enumerate(manifest.labels)}
    classes = validation["label"].map(order).to_numpy(np.int64)
    found = compare(manifest, old, new, images, classes, sizes)
    found.check()
    times_ms = cpu_ms([old, new], images[:1])
    variant = Variant(
        precision=precision,
        digest=sha256_digest(reduced),
        **found._asdict(),
        speedup=times_ms[0] / times_ms[1],
        runtime=f"onnxruntime {onnxruntime.__version__}",
    )
    sessions = {
        str(name): open_session(read_verified_model(bundle, manifest, name))
        for name in manifest.digests
    }
    answers = golden_answers({**sessions, precision: new}, golden_images(bundle, manifest))
    changes = {"variants": (*manifest.variants, variant), "golden_digest": sha256_digest(answers)}
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
    images: NDArray[np.uint8],
    classes: NDArray[np.int64],
    sizes: Sequence[tuple[int, int]],
) -> Agreement:
    """Ask the float32 graph and another the same, and decide as the service does, gates included.

    Two answers are alike where they name the same finding, or both refer, and where both find the
    image within the distribution or both do not.

    ``images``: uint8, shape (n, height, width, 1); ``classes`` and ``sizes``, rows and columns of
    the file, of each.
    """
    verdicts, aurocs = [], []
    for session in (reference, candidate):
        outputs = run_in_batches(session, images)
        decisions = decide_all(manifest, outputs, sizes)
        verdicts.append([(d.label, "out_of_distribution" in d.reasons) for d in decisions])
        probabilities = outputs["probabilities"].astype(np.float64)
        aurocs.append(float(macro_auroc(probabilities, classes, np.ones((1, len(classes))))[0]))
    alike = [first == second for first, second in zip(*verdicts, strict=True)]
    return Agreement(len(alike), aurocs[0], aurocs[1], agreement=float(np.mean(alike)))
