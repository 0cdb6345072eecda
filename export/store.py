"""Bundles on disk: models/<name>/<version>/, whole or not there at all."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.golden import Golden, golden_bytes, read_golden
from contract.manifest import (
    CARD_FILE,
    FIGURES,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    ModelManifest,
    SegmenterManifest,
)
from contract.trust import SIGNATURE
from export.cards import model_card, segmenter_card
from export.errors import BundleExists
from export.session import run_in_batches
from export.triton import newest_version, write_triton_config

Manifest = ModelManifest | SegmenterManifest


def next_version(models: Path, name: str) -> int:
    """One more than the highest version that is there, 1 where there is none."""
    newest = newest_version(models / name)
    return 1 + int(newest.name) if newest else 1


def write_bundle(
    models: Path,
    manifest: Manifest,
    model: bytes,
    figures: Iterable[Path] = (),
    golden: bytes | None = None,
) -> Path:
    """Write a new bundle, whose digests the manifest has; the figures are shown on the card.

    Raises:
        BundleExists: That version is there already.
    """
    bundle = models / manifest.name / str(manifest.version)
    if bundle.exists():
        raise BundleExists(
            f"{manifest.name} version {manifest.version} is already there, and a version never "
            "changes: leave --version out to write the next one."
        )
    files = {MODEL_FILE: model} if golden is None else {MODEL_FILE: model, GOLDEN_FILE: golden}
    bundle.parent.mkdir(parents=True, exist_ok=True)
    with _draft(bundle) as draft:
        for figure in figures:
            (draft / FIGURES).mkdir(exist_ok=True)
            shutil.copyfile(figure, draft / FIGURES / figure.name)
        _fill(draft, manifest, files, manifest.model_dump_json(indent=2))
        draft.rename(bundle)
    write_triton_config(bundle, manifest.signature)
    return bundle


def replace_bundle(bundle: Path, manifest: ModelManifest, files: Mapping[str, bytes]) -> None:
    """Write some files of a bundle again, by their names, with its manifest and its card.

    Where the manifest has another version, the bundle stays as it is beside the new one. Whoever
    signed it signs again.

    Raises:
        BundleExists: That other version is there already.
    """
    target = bundle.with_name(str(manifest.version))
    if target != bundle and target.exists():
        raise BundleExists(f"{target} appeared meanwhile: start again.")
    with _draft(bundle) as draft:
        shutil.copytree(bundle, draft, dirs_exist_ok=True)
        # What the manifest leaves to its defaults stays out of it.
        _fill(draft, manifest, files, manifest.model_dump_json(indent=2, exclude_unset=True))
        (draft / SIGNATURE).unlink(missing_ok=True)
        old = draft.with_name(f"{draft.name}-old")
        if target == bundle:
            bundle.rename(old)
        draft.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    write_triton_config(target, manifest.signature)


@contextmanager
def _draft(bundle: Path) -> Iterator[Path]:
    """A folder beside a bundle, which is gone afterwards unless it was renamed."""
    # The dot keeps a half-written bundle from being taken for a version.
    draft = Path(mkdtemp(prefix=".draft-", dir=bundle.parent))
    draft.chmod(0o755)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fill(draft: Path, manifest: Manifest, files: Mapping[str, bytes], described: str) -> None:
    for name, content in files.items():
        (draft / name).write_bytes(content)
    (draft / MANIFEST_FILE).write_text(f"{described}\n")
    if isinstance(manifest, SegmenterManifest):
        card = segmenter_card(manifest)
    else:
        figures = sorted((draft / FIGURES).glob("*.png"))
        card = model_card(manifest, [f"{FIGURES}/{figure.name}" for figure in figures])
    (draft / CARD_FILE).write_text(card)


def golden_answers(
    sessions: Mapping[str, onnxruntime.InferenceSession], images: NDArray[np.uint8]
) -> bytes:
    """The bytes of golden.npz: what a bundle's graphs, by precision, answer for some images."""
    found = {name: run_in_batches(session, images) for name, session in sessions.items()}
    answers = {name: outputs["probabilities"] for name, outputs in found.items()}
    return golden_bytes(Golden(images, answers))


def golden_images(bundle: Path, manifest: ModelManifest) -> NDArray[np.uint8]:
    """The images of a bundle's golden.npz, phantoms where it has none."""
    golden = read_golden(bundle, manifest)
    return golden.images if golden else draw_phantoms(*manifest.preprocessing.size)


def draw_phantoms(height: int, width: int) -> NDArray[np.uint8]:
    """Draw what looks like chests from afar: with clear lungs, with shadows, and hardly aired.

    No model is sure of any of them, so a small change of its arithmetic shows in its answer.
    The result: uint8, shape (4, height, width, 1), 0 black to 255 white.
    """
    rows, columns = np.mgrid[:height, :width] + 0.5
    y, x = rows / height, columns / width
    lungs = sum(
        np.clip(1 - ((x - at) / 0.15) ** 2 - ((y - 0.48) / 0.32) ** 2, 0, 1) for at in (0.3, 0.7)
    )

    def shadow(at: float, radius: float) -> NDArray[np.float64]:
        return np.asarray(np.exp(-(((x - at) / radius) ** 2) - ((y - 0.6) / radius) ** 2))

    clear, dense = (200 - 120 * np.abs(x - 0.5) - air * lungs for air in (150, 60))
    shadowed = clear + 90 * shadow(0.3, 0.08)
    both = clear + 120 * (shadow(0.3, 0.12) + shadow(0.7, 0.12))
    pictures = np.stack([clear, shadowed, both, dense])[..., np.newaxis]
    return np.clip(np.round(pictures), 0, 255).astype(np.uint8)
