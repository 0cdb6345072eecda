"""A bundle on disk: models/<name>/<version>/, at every moment what its manifest says."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from contract.manifest import (
    CARD_FILE,
    FIGURES,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    ModelManifest,
)
from export.folder import whole_folder
from export.model_card import model_card
from export.triton import write_triton_config
from training.atomic import atomic_path


def next_version(models: Path, name: str) -> int:
    """One more than the highest version that is there, 1 where there is none."""
    folder = models / name
    versions = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    return max(versions, default=0) + 1


def write_bundle(
    models: Path,
    manifest: ModelManifest,
    model: bytes,
    figures: Iterable[Path] = (),
    golden: bytes | None = None,
) -> Path:
    """Write a bundle under a temporary name and rename it when it is complete.

    Args:
        models: The model repository's root.
        manifest: What to write; its name and version choose the folder.
        model: The bytes of model.onnx; their digest is the manifest's.
        figures: PNG files of the evaluation, shown with the model card.
        golden: The bytes of golden.npz, where the manifest has their digest.

    Raises:
        BundleExists: That version is there already. A version, once written, never changes.
    """
    bundle = models / manifest.name / str(manifest.version)
    with whole_folder(bundle) as draft:
        _fill(draft, manifest, model, figures)
        if golden is not None:
            (draft / GOLDEN_FILE).write_bytes(golden)
    write_triton_config(bundle, manifest.signature)
    return bundle


def amend_bundle(
    bundle: Path, before: ModelManifest, after: ModelManifest, files: Mapping[str, bytes]
) -> None:
    """Write files beside a bundle's model.onnx, and the manifest that describes them.

    Meanwhile the manifest names no golden answers: whatever stops this half-way leaves a bundle
    that is what its manifest says, and that pneumo-export golden completes.

    Args:
        bundle: ``models/<name>/<version>``.
        before: Its manifest.
        after: Its manifest to be.
        files: By their names; their digests are in ``after``.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    meanwhile = before.model_copy(update={"golden_digest": None})
    steps = [*files.items(), (MANIFEST_FILE, _described(after))]
    if before.golden_digest is not None:
        steps.insert(0, (MANIFEST_FILE, _described(meanwhile)))
    for name, content in steps:
        with atomic_path(bundle / name) as draft:
            draft.write_bytes(content)


def _described(manifest: ModelManifest) -> bytes:
    # What the manifest leaves to its defaults stays out of it.
    return f"{manifest.model_dump_json(indent=2, exclude_unset=True)}\n".encode()


def _fill(draft: Path, manifest: ModelManifest, model: bytes, figures: Iterable[Path]) -> None:
    (draft / MODEL_FILE).write_bytes(model)
    (draft / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
    names = []
    for figure in sorted(figures):
        (draft / FIGURES).mkdir(exist_ok=True)
        shutil.copyfile(figure, draft / FIGURES / figure.name)
        names.append(f"{FIGURES}/{figure.name}")
    (draft / CARD_FILE).write_text(model_card(manifest, names))
