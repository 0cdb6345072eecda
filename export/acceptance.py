"""Does a faster graph answer as the float32 one does? If not, it is refused, with the figures."""

import statistics
import time
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.decision import Decision, Familiarity, decide
from contract.findings import Label
from contract.manifest import OOD_SCORE, ModelManifest
from contract.quality import Quality
from export.errors import VariantRefused
from export.inference import run_in_batches
from training.metrics import macro_auroc

MAX_AUROC_DROP = 0.005
MIN_AGREEMENT = 0.99
WARM_UP_RUNS = 5
TIMED_RUNS = 100


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

    def __str__(self) -> str:
        return (
            f"AUROC {self.auroc_fp32:.4f} in fp32 and {self.auroc:.4f} in this precision, "
            f"{self.agreement:.2%} of {self.images} validation images decided alike"
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
    alike = [
        first == second
        for first, second in zip(
            _verdicts(manifest, old, validation), _verdicts(manifest, new, validation), strict=True
        )
    ]
    return Agreement(
        images=len(alike),
        auroc_fp32=_auroc(old["probabilities"], validation.classes),
        auroc=_auroc(new["probabilities"], validation.classes),
        agreement=float(np.mean(alike)),
    )


def check(found: Agreement) -> None:
    """Refuse a graph that does not answer as the float32 one.

    Raises:
        VariantRefused: Its AUROC is lower by more than 0.005, or it decides less than 99 % alike.
    """
    # Not-a-number compares false with everything, so the accepted case is the one spelt out.
    if not (found.auroc_fp32 - found.auroc <= MAX_AUROC_DROP and found.agreement >= MIN_AGREEMENT):
        raise VariantRefused(
            f"{found}. At most {MAX_AUROC_DROP} may be lost, and at least {MIN_AGREEMENT:.0%} must "
            "agree. Nothing was written."
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
    manifest: ModelManifest,
    outputs: dict[str, NDArray[np.float32]],
    validation: ValidationImages,
) -> list[tuple[Label | None, bool]]:
    familiar = manifest.out_of_distribution
    found = []
    for number, row in enumerate(outputs["probabilities"].tolist()):
        decision = decide(
            manifest.labels,
            row,
            manifest.operating_points,
            quality=validation.qualities[number],
            familiarity=Familiarity(score=float(outputs[OOD_SCORE][number]), limit=familiar.limit)
            if familiar
            else None,
        )
        found.append(_verdict(decision))
    return found


def _verdict(decision: Decision) -> tuple[Label | None, bool]:
    return decision.label, "out_of_distribution" in decision.reasons
