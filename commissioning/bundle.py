"""The bundle that a site earned: a new version of the model, with the site in its manifest."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from commissioning.domain import fit_domain, shares
from commissioning.errors import ParityFailed
from commissioning.graph import Backbone, SiteDomain, site_graph
from commissioning.measure import read_image
from commissioning.report import render
from commissioning.trial import Trial
from contract.golden import Golden, golden_bytes, read_golden
from contract.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    OOD_EDGES,
    PROBABILITY_EDGES,
    Finding,
    Metric,
    ModelManifest,
    OutOfDistribution,
    Parity,
    Reference,
    Signature,
    Site,
    sha256_digest,
)
from export.graph import tensor_specs, with_whole_weights
from export.session import open_session, run_in_batches
from export.triton import newest_version, write_triton_config

TOLERANCE = 1e-4
_PARITY_IMAGES = 96
_LEAST_ACTIVATION = 1e-3


def draft_bundle(
    base: Path, backbone: Backbone, trial: Trial, name: str
) -> tuple[Path, ModelManifest]:
    """Draft the next version of a model, beside the one that a trial allows the site to change.

    Returns:
        The folder, complete but for its name, which ``publish`` gives it; and its manifest.

    Raises:
        ParityFailed: The graph answers otherwise than the candidate that was judged.
    """
    manifest, labelled = trial.manifest, trial.labelled
    domain = fit_domain(trial.measured, labelled.patients, manifest)
    model = with_whole_weights(onnx.load(base / MODEL_FILE))
    graph = site_graph(model, backbone, trial.fitted.head, domain)
    content = graph.SerializeToString()
    session = open_session(content)
    parity, scales = _check(session, trial, domain)
    shipped, golden = read_golden(base, manifest), None
    if shipped is not None:
        answers = run_in_batches(session, shipped.images)["probabilities"]
        golden = golden_bytes(Golden(shipped.images, {"fp32": answers}))
    version = 1 + int((newest_version(base.parent) or base).name)
    site = _site(name, backbone, trial)
    outputs = tensor_specs(graph.graph.output)
    updated = manifest.model_copy(
        update={
            "version": version,
            "summary": f"{manifest.summary} Commissioned at {name}: {trial.verdict}.",
            "digest": sha256_digest(content),
            "signature": Signature(inputs=manifest.signature.inputs, outputs=outputs),
            "findings": tuple(
                Finding(
                    label=label,
                    operating_point=point,
                    operating_point_rule=f"commissioned at {name}",
                    activation_scale=scale,
                )
                for label, point, scale in zip(
                    labelled.findings, trial.fitted.operating_points, scales, strict=True
                )
            ),
            "temperature": 1.0,
            # What the base version learned from says little of a site's own calls.
            "ages": None,
            "metrics": _metrics(site),
            "parity": parity,
            "out_of_distribution": OutOfDistribution(
                limit=1.0,
                method="the larger of the model's own score and the distance from the site's "
                f"images among {backbone.name}'s features, each as a share of its limit",
            ),
            "golden_digest": sha256_digest(golden) if golden else None,
            "variants": (),
            # What the site showed stands in place of what the training's sources did.
            "evidence": (),
            "site": site,
        }
    )
    draft = base.parent / f".{version}.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    (draft / MODEL_FILE).write_bytes(content)
    if golden:
        (draft / GOLDEN_FILE).write_bytes(golden)
    written = updated.model_dump_json(indent=2)
    (draft / MANIFEST_FILE).write_text(f"{written}\n")
    # As the service will read it.
    described = ModelManifest.model_validate_json(written)
    (draft / CARD_FILE).write_text(render("model-card.md.j2", manifest=described, trial=trial))
    return draft, described


def publish(draft: Path, manifest: ModelManifest) -> Path:
    """Give a drafted version its name, by which the service finds it."""
    bundle = draft.rename(draft.with_name(str(manifest.version)))
    write_triton_config(bundle, manifest.signature)
    return bundle


def _check(
    session: InferenceSession, trial: Trial, domain: SiteDomain
) -> tuple[Parity, list[float]]:
    """Compare graph and candidate on real images; the activation that a heatmap draws in full."""
    some = np.random.default_rng(0).permutation(len(trial.labelled))[:_PARITY_IMAGES]
    paths, measured = trial.labelled.paths, trial.measured.take(some)
    images = np.stack([read_image(paths[i], trial.manifest)[1] for i in some])
    found = run_in_batches(session, images)
    expected = trial.fitted.probabilities(measured)
    difference = float(np.abs(found["probabilities"] - expected).max())
    if not difference <= TOLERANCE:
        raise ParityFailed(f"A probability of the graph differs by {difference:.2g}.")
    if not np.allclose(found["ood_score"], shares(domain, measured), rtol=1e-3):
        raise ParityFailed("The graph's score of the unfamiliar differs from the judged one.")
    strongest = np.quantile(found["activation_map"].max(axis=(1, 2)), 0.9, axis=0)
    parity = Parity(images=len(some), max_probability_difference=difference, tolerance=TOLERANCE)
    return parity, [max(float(value), _LEAST_ACTIVATION) for value in strongest]


def _site(name: str, backbone: Backbone, trial: Trial) -> Site:
    judged, labelled = trial.judged, trial.labelled
    probabilities = zip(labelled.findings, judged.probabilities.T, strict=True)
    return Site(
        name=name,
        commissioned_at=datetime.now(UTC),
        base_version=trial.manifest.version,
        features=backbone.name,
        change=trial.fitted.name,
        verdict=trial.verdict,
        images=labelled.counts(),
        patients=labelled.table["patient"].nunique(),
        auroc=judged.auroc,
        accuracy=judged.accuracy if np.isfinite(judged.accuracy).all() else None,
        answered=judged.answered,
        labels_digest=labelled.digest,
        reference=Reference(
            probability={label: _at_most(p, PROBABILITY_EDGES) for label, p in probabilities},
            ood_share=_at_most(trial.ood_shares, OOD_EDGES),
        ),
    )


def _at_most(values: NDArray[np.float64], edges: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(float((values <= edge).mean()), 4) for edge in edges)


def _metrics(site: Site) -> tuple[Metric, ...]:
    images = sum(site.images.values())
    figures = [("auroc", site.auroc)]
    if site.accuracy:
        figures += [("accuracy_answered", site.accuracy)]
    return tuple(
        Metric(dataset=site.name, name=name, value=value, lower=lower, upper=upper, images=images)
        for name, (value, lower, upper) in figures
    )
