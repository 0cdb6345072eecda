"""The whole of it: check, measure, try, judge, report, and write what was earned."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from commissioning.audit import audit_shortcuts
from commissioning.bundle import write_bundle
from commissioning.candidates import Shipped
from commissioning.errors import LabelsUnusable
from commissioning.graph import Backbone, last_layer_weights, measurement_graph
from commissioning.labels import read_labels, without_duplicates
from commissioning.measure import measure
from commissioning.report import Case, write_report
from commissioning.trial import Trial, run_trial
from contract.manifest import ModelManifest, Site, read_manifest, read_verified_model

DEFAULT_BACKBONE = Path(__file__).with_name("efficientnet-lite0-block11.onnx")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. ``model`` is the folder of all versions of the model."""

    model: Path
    version: int | None
    images: Path
    labels: Path
    site: str
    backbone: Backbone
    backbone_name: str
    floors: tuple[float, float]
    workdir: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; ``bundle`` is None where the verdict allows none."""

    trial: Trial
    report: Path
    pdf: Path
    bundle: Path | None


def commission(
    plan: Plan, on_image: Callable[[int, int], None], on_candidate: Callable[[str], None]
) -> Outcome:
    """Commission a model at a site. Interrupted, the next call goes on behind the last images.

    Raises:
        LabelsUnusable: The labels cannot be used, or are too few.
        BackboneUnusable: The feature graph cannot be merged.
        ParityFailed: The new graph does not compute what was judged.
        InvalidManifest: The model has no such version, or its bundle is damaged.
        DigestMismatch: Its graph is not the manifest's.
    """
    base, manifest = _base(plan)
    model = onnx.load_from_string(read_verified_model(base, manifest))
    labelled = read_labels(plan.images, plan.labels, manifest.labels)
    graph = measurement_graph(model, plan.backbone)
    measured = measure(labelled.paths, manifest, graph, plan.workdir / "measured", on_image)
    named, unreadable = len(labelled.paths), int((measured.problem != "").sum())
    digests = [digest or None for digest in measured.digest.tolist()]
    labelled, kept = without_duplicates(labelled, digests)
    measured = measured.take(kept)
    if len(labelled.findings) < 2 or labelled.missing():
        needs = ", ".join(f"{n} more {name}" for name, n in labelled.missing().items())
        raise LabelsUnusable(
            f"{labelled.counts()} images are too few to judge by: "
            f"{needs or 'images of another finding'} needed."
        )
    shipped = Shipped(manifest, last_layer_weights(model))
    trial = run_trial(labelled, measured, shipped, plan.floors, on_candidate)
    copies = named - unreadable - len(kept)
    case = Case(
        plan.site, manifest, labelled, measured, trial, audit_shortcuts(labelled, measured),
        unreadable, copies, _earlier(plan),
    )  # fmt: skip
    report, pdf = write_report(case, plan.workdir)
    bundle = None
    if trial.verdict != "not fit":
        bundle = write_bundle(
            base, manifest, plan.backbone, plan.backbone_name, trial, labelled, measured, plan.site
        )
    return Outcome(trial, report, pdf, bundle)


def _base(plan: Plan) -> tuple[Path, ModelManifest]:
    """The version asked for, or the latest that no site has made its own."""
    if plan.version is not None:
        folder = plan.model / str(plan.version)
        return folder, read_manifest(folder)
    for folder in _versions(plan.model):
        manifest = read_manifest(folder)
        if manifest.site is None:
            return folder, manifest
    raise LabelsUnusable(f"{plan.model} has no version that is nobody's: name one with --version.")


def _earlier(plan: Plan) -> str | None:
    """The site's last commissioning in a sentence, to compare with."""
    sites = (read_manifest(folder).site for folder in _versions(plan.model))
    last: Site | None = next((site for site in sites if site and site.name == plan.site), None)
    if last is None:
        return None
    return (
        f"{last.commissioned_at:%d %B %Y}: {last.verdict}, AUROC {last.auroc[0]:.2f} "
        f"({last.auroc[1]:.2f} to {last.auroc[2]:.2f}), {last.answered:.0%} answered"
        + (f", {last.accuracy[0]:.0%} of them right." if last.accuracy else ".")
    )


def _versions(model: Path) -> list[Path]:
    numbered = [folder for folder in model.glob("*") if folder.name.isdigit()]
    return sorted(numbered, key=lambda folder: -int(folder.name))
