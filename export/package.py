"""A bundle on disk: models/<name>/<version>/, written whole or not at all."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import mkdtemp

from contract.manifest import (
    CARD_FILE,
    FIGURES,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    ModelManifest,
)
from export.errors import BundleExists
from export.model_card import model_card
from export.triton import write_triton_config


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
    if bundle.exists():
        raise BundleExists(
            f"{manifest.name} version {manifest.version} is already there, and a version never "
            "changes: leave --version out to write the next one."
        )
    bundle.parent.mkdir(parents=True, exist_ok=True)
    # The dot keeps a half-written bundle from being taken for a version.
    draft = Path(mkdtemp(prefix=".draft-", dir=bundle.parent))
    try:
        _fill(draft, manifest, model, figures)
        if golden is not None:
            (draft / GOLDEN_FILE).write_bytes(golden)
        draft.chmod(0o755)
        draft.rename(bundle)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    write_triton_config(bundle, manifest.signature)
    return bundle


def _fill(draft: Path, manifest: ModelManifest, model: bytes, figures: Iterable[Path]) -> None:
    (draft / MODEL_FILE).write_bytes(model)
    (draft / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
    names = []
    for figure in sorted(figures):
        (draft / FIGURES).mkdir(exist_ok=True)
        shutil.copyfile(figure, draft / FIGURES / figure.name)
        names.append(f"{FIGURES}/{figure.name}")
    (draft / CARD_FILE).write_text(model_card(manifest, names))
