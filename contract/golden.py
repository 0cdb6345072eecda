"""golden.npz: images without a patient, and what a bundle's graph answered for them at its export.

Whoever loads the bundle runs them again: another answer means that this machine, its runtime or its
driver does not compute what was measured.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import GoldenMismatch, InvalidManifest
from contract.manifest import GOLDEN_FILE, ModelManifest, read_verified

# CUDA with TF32, the least exact way to run a graph in float32, moves a probability by up to 1e-3.
# In the others another kernel may round a whole step of the smaller type otherwise.
TOLERANCES: Mapping[str, float] = {"fp32": 2e-3, "fp16": 2e-2, "int8": 5e-2}
_IMAGES = "images"


@dataclass(frozen=True, slots=True)
class Golden:
    """Images, uint8 (n, height, width, 1), and by precision the answers, float32 (n, classes)."""

    images: NDArray[np.uint8]
    probabilities: Mapping[str, NDArray[np.float32]]

    def check(self, found: NDArray[np.float32], precision: str = "fp32") -> None:
        """Raise GoldenMismatch where an answer differs from the one at the export by too much."""
        expected = self.probabilities.get(precision)
        if expected is None or expected.shape != found.shape:
            raise GoldenMismatch(f"{GOLDEN_FILE} has no answers of {precision} to compare with.")
        difference, allowed = float(np.abs(found - expected).max()), TOLERANCES[precision]
        # Not-a-number compares false with everything, so the accepted case is the one spelt out.
        if not difference <= allowed:
            raise GoldenMismatch(
                f"A probability differs by {difference:.2g} from the one at the export, and by at "
                f"most {allowed:g} it may: this machine does not compute what was measured."
            )


def golden_bytes(golden: Golden) -> bytes:
    """Write golden.npz."""
    file = io.BytesIO()
    np.savez_compressed(file, **{_IMAGES: golden.images}, **golden.probabilities)  # type: ignore[arg-type]
    return file.getvalue()


def read_golden(bundle: Path, manifest: ModelManifest) -> Golden | None:
    """Read and check golden.npz; None where the manifest, older than this check, names none.

    Raises:
        InvalidManifest: There is no golden.npz, or it cannot be read.
        DigestMismatch: Its SHA-256 is not the manifest's.
    """
    if manifest.golden_digest is None:
        return None
    content = read_verified(bundle, GOLDEN_FILE, manifest.golden_digest)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            answers = {key: arrays[key] for key in arrays.files if key != _IMAGES}
            return Golden(arrays[_IMAGES], answers)
    except (EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        name = f"{manifest.name}/{manifest.version}/{GOLDEN_FILE}"
        raise InvalidManifest(f"{name} does not hold images and answers.") from error
