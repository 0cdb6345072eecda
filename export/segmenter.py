"""A finished training of the lung segmenter becomes a bundle."""

from pathlib import Path

from contract.manifest import LUNG_MASK, SegmenterManifest, segmenter_signature, sha256_digest
from export.convert import convert, measure_parity
from export.errors import ExportError
from export.session import open_session
from export.store import next_version, write_bundle
from export.verify import read_images
from training.lungs import list_again, load_segmenter, with_mask_output
from training.workdir import Workdir


def export_segmenter(workdir: Path, data: Path, models: Path, version: int | None = None) -> Path:
    """Convert a trained segmenter, prove it on the held-out images, and write the bundle.

    Arguments, result and errors are those of ``export_bundle``.
    """
    trained = load_segmenter(workdir)
    if trained.evaluation is None:
        raise ExportError("The segmenter was not evaluated yet: measure its Dice first.")
    spec, name = trained.recipe.preprocessing, trained.recipe.name
    dataset = list_again(trained, data)
    used = Workdir(workdir).read_split(dataset.table)
    held_out = [dataset.root / path for path in used["path"][used["split"] == "test"]]
    images = read_images(held_out, spec)
    serving = with_mask_output(trained.model)
    signature = segmenter_signature(spec)
    model = convert(serving, signature).SerializeToString()
    manifest = SegmenterManifest(
        name=name,
        version=version or next_version(models, name),
        summary="Marks the lungs on a frontal chest radiograph, with what lies behind the heart.",
        digest=sha256_digest(model),
        signature=signature,
        preprocessing=spec,
        metrics=trained.evaluation.metrics,
        provenance=trained.provenance,
        parity=measure_parity(serving, open_session(model), images, LUNG_MASK),
        lung_field=trained.lung_field,
        caveats=trained.recipe.caveats,
    )
    return write_bundle(models, manifest, model)
