"""The whole of it: check, measure, try, judge, report, and write what was earned."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from threadpoolctl import threadpool_limits

from commissioning.audit import audit_shortcuts
from commissioning.bundle import write_bundle
from commissioning.candidates import Shipped
from commissioning.errors import LabelsUnusable
from commissioning.graph import Backbone, last_layer_weights, measurement_graph
from commissioning.labels import read_labels, without_duplicates
from commissioning.measure import measure
from commissioning.report import Case, describe_set_aside, write_report
from commissioning.trial import Trial, run_trial
from contract.dicom_facts import says_lateral
from contract.manifest import read_manifest, read_verified_model
from export.graph import with_whole_weights

_COPY = "It is a copy of another image."
_LATERAL = "The view is lateral, as the label table says."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; ``bundle`` is None where the verdict allows none."""

    trial: Trial
    set_aside: Counter[str]
    report: Path
    pdf: Path
    bundle: Path | None


def commission(
    base: Path,
    images: Path,
    labels: Path,
    site: str,
    backbone: Backbone,
    floors: tuple[float, float],
    workdir: Path,
    on_image: Callable[[int, int], None],
    on_candidate: Callable[[str], None],
) -> Outcome:
    """Commission a model at a site. Interrupted, the next call goes on behind the last images.

    Args:
        base: The bundle, from ``find_base``.
        images: What the paths of the labels are relative to.
        labels: See ``read_labels``.
        site: Its name.
        backbone: The frozen features.
        floors: See ``run_trial``.
        workdir: For measurements and the report.
        on_image: Is told how many images are measured, and how many there are.
        on_candidate: Is told which candidate is tried.

    Raises:
        LabelsUnusable: The labels cannot be used, or are too few.
        BackboneUnusable: The feature graph cannot be merged.
        ParityFailed: The new graph does not compute what was judged.
        InvalidManifest: The bundle is damaged.
        DigestMismatch: Its graph is not the manifest's.
    """
    manifest = read_manifest(base)
    model = with_whole_weights(onnx.load_from_string(read_verified_model(base, manifest)))
    named = read_labels(images, labels, manifest.labels)
    graph = measurement_graph(model, backbone)
    measured = measure(named.paths, manifest, graph, workdir / "measured", on_image)
    lateral = named.table["view"].str.upper().map(says_lateral).to_numpy(np.bool_)
    told = (measured.problem == "") & lateral & manifest.reads_radiographs
    problems = np.where(told, _LATERAL, measured.problem)
    pixels = np.where(problems == "", measured.digest, "")
    labelled, kept = without_duplicates(named, pixels.tolist())
    set_aside = Counter(problems[problems != ""].tolist())
    copies = len(named) - set_aside.total() - len(kept)
    set_aside += Counter({_COPY: copies})
    measured = measured.take(kept)
    if len(labelled.findings) < 2 or labelled.missing():
        found = ", ".join(f"{n} {name}" for name, n in labelled.counts().items())
        needs = ", ".join(f"{n} more {name}" for name, n in labelled.missing().items())
        raise LabelsUnusable(
            f"Too few images to judge by ({found or 'none'}): "
            f"{needs or 'images of another finding'} needed. {describe_set_aside(set_aside)}"
        )
    columns = tuple(manifest.labels.index(name) for name in labelled.findings)
    shipped = Shipped(manifest, last_layer_weights(model), columns)
    # The many small fits lose more by waiting for each other's threads than they gain.
    with threadpool_limits(1):
        trial = run_trial(labelled, measured, shipped, floors, on_candidate)
        shortcuts = audit_shortcuts(labelled, measured)
    earlier = _earlier(base.parent, site)
    case = Case(site, manifest, labelled, measured, trial, shortcuts, set_aside, earlier)
    report, pdf = write_report(case, workdir)
    bundle = None
    if trial.verdict != "not fit":
        bundle = write_bundle(base, manifest, backbone, trial, labelled, measured, site)
    return Outcome(trial, set_aside, report, pdf, bundle)


def find_base(model: Path, version: int | None) -> Path:
    """The bundle of a version, or of the latest that no site has made its own.

    Args:
        model: The folder of all versions of the model.
        version: None for the latest.

    Raises:
        LabelsUnusable: There is none.
        InvalidManifest: There is no such version, or its bundle is damaged.
    """
    for folder in _versions(model) if version is None else [model / str(version)]:
        if read_manifest(folder).site is None:
            return folder
    raise LabelsUnusable(
        f"{model.name} has no version here that no site has made its own. Commission the "
        "version that those were made from."
    )


def _earlier(model: Path, site: str) -> str | None:
    """The site's last commissioning in a sentence, to compare with."""
    found = (read_manifest(folder).site for folder in _versions(model))
    last = next((one for one in found if one and one.name == site), None)
    if last is None:
        return None
    return (
        f"{last.commissioned_at:%d %B %Y}: {last.verdict}, AUROC {last.auroc[0]:.2f} "
        f"({last.auroc[1]:.2f} to {last.auroc[2]:.2f}), {last.answered:.0%} answered"
        + (f", {last.accuracy[0]:.0%} of them right." if last.accuracy else ".")
    )


def _versions(model: Path) -> list[Path]:
    """The folders of its versions, the newest first."""
    numbered = [folder for folder in model.glob("*") if folder.name.isdigit()]
    return sorted(numbered, key=lambda folder: -int(folder.name))
