"""The bundle that a site earned: a new version of the model, with the site in its manifest."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from scipy.special import softmax

from commissioning.candidates import Fitted
from commissioning.domain import fit_domain, shares
from commissioning.errors import ParityFailed
from commissioning.graph import Backbone, SiteDomain, site_graph
from commissioning.labels import LabelledImages
from commissioning.measure import Measured, read_image
from commissioning.trial import Trial
from contract.golden import Golden, golden_bytes, read_golden
from contract.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    SOURCE_DISTANCE,
    Finding,
    Metric,
    ModelManifest,
    OutOfDistribution,
    Parity,
    Signature,
    Site,
    TensorSpec,
    read_manifest,
    sha256_digest,
)

TOLERANCE = 1e-4
_PARITY_IMAGES = 96
_REPLACED = ("probabilities", "logits", "activation_map", "ood_score")


def write_bundle(
    base: Path,
    manifest: ModelManifest,
    backbone: Backbone,
    backbone_name: str,
    trial: Trial,
    labelled: LabelledImages,
    measured: Measured,
    name: str,
) -> Path:
    """Write the next version of the model beside the one that was commissioned.

    Args:
        base: The commissioned bundle.
        manifest: Its manifest.
        backbone: The frozen features.
        backbone_name: What they are called.
        trial: With a verdict that allows a bundle.
        labelled: The site's images.
        measured: What is known of each.
        name: The site's.

    Returns:
        The folder, complete: it appears under its name when everything is written.

    Raises:
        ParityFailed: The graph answers otherwise than the candidate that was judged.
    """
    domain = fit_domain(measured, labelled.patients, manifest)
    model = onnx.load(base / MODEL_FILE)
    fitted = trial.fitted
    graph = site_graph(model, backbone, fitted.head, domain, fitted.last_layer)
    content = graph.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    parity, scales = _check(session, fitted, domain, labelled, measured, manifest)
    golden = _golden(base, manifest, session)
    version = 1 + max(int(v.name) for v in base.parent.iterdir() if v.name.isdigit())
    result = trial.judged
    site = Site(
        name=name,
        commissioned_at=datetime.now(UTC),
        base_version=manifest.version,
        features=backbone_name,
        change=trial.chosen,
        verdict=trial.verdict,
        images=labelled.counts(),
        patients=len(set(labelled.patients.tolist())),
        auroc=result.auroc,
        accuracy=result.accuracy if np.isfinite(result.accuracy).all() else None,
        answered=result.answered,
        labels_digest=labelled.digest,
    )
    updated = manifest.model_copy(
        update={
            "version": version,
            "summary": f"{manifest.summary} Commissioned at {name}: {trial.verdict}.",
            "digest": sha256_digest(content),
            "signature": _signature(graph, manifest),
            "findings": tuple(
                Finding(
                    label=label,
                    operating_point=point,
                    operating_point_rule=f"commissioned at {name}",
                    activation_scale=scale,
                )
                for label, point, scale in zip(
                    labelled.findings, fitted.operating_points, scales, strict=True
                )
            ),
            "temperature": 1.0,
            "metrics": _metrics(site),
            "parity": parity,
            "out_of_distribution": OutOfDistribution(
                limit=1.0,
                method="the larger of the model's own score and the distance from the site's "
                f"images among {backbone_name}'s features, each as a share of its limit",
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
    (draft / MANIFEST_FILE).write_text(updated.model_dump_json(indent=2) + "\n")
    # As the service will read it.
    checked = read_manifest(draft)
    (draft / CARD_FILE).write_text(_card(checked, site, trial))
    return draft.rename(base.parent / str(version))


def _check(
    session: onnxruntime.InferenceSession,
    fitted: Fitted,
    domain: SiteDomain,
    labelled: LabelledImages,
    measured: Measured,
    manifest: ModelManifest,
) -> tuple[Parity, list[float]]:
    """Compare graph and candidate on real images; the activation that a heatmap draws in full."""
    random = np.random.default_rng(0)
    some = random.permutation(len(labelled.paths))[:_PARITY_IMAGES]
    images = np.stack([read_image(labelled.paths[i], manifest)[1] for i in some])
    probabilities, maps, scores = session.run(
        ["probabilities", "activation_map", "ood_score"], {"image": images}
    )
    expected = softmax(fitted.logits(measured.take(some)), axis=1)
    difference = float(np.abs(probabilities - expected).max())
    if not difference <= TOLERANCE:
        raise ParityFailed(f"A probability of the graph differs by {difference:.2g}.")
    if not np.allclose(scores, shares(domain, measured.take(some)), rtol=1e-3):
        raise ParityFailed("The graph's score of the unfamiliar differs from the judged one.")
    strongest = np.quantile(maps.max(axis=(1, 2)), 0.9, axis=0)
    parity = Parity(images=len(some), max_probability_difference=difference, tolerance=TOLERANCE)
    return parity, [max(float(value), 1e-3) for value in strongest]


def _golden(
    base: Path, manifest: ModelManifest, session: onnxruntime.InferenceSession
) -> bytes | None:
    shipped = read_golden(base, manifest)
    if shipped is None:
        return None
    (answers,) = session.run(["probabilities"], {"image": shipped.images})
    return golden_bytes(Golden(shipped.images, {"fp32": answers}))


def _signature(graph: onnx.ModelProto, manifest: ModelManifest) -> Signature:
    made = {
        output.name: tuple(
            dim.dim_param or dim.dim_value for dim in output.type.tensor_type.shape.dim
        )
        for output in graph.graph.output
    }
    gone = {*_REPLACED, SOURCE_DISTANCE}
    kept = [spec for spec in manifest.signature.outputs if spec.name not in gone]
    new = [TensorSpec(name=n, dtype="float32", shape=made[n]) for n in _REPLACED]
    return Signature(inputs=manifest.signature.inputs, outputs=(*new, *kept))


def _metrics(site: Site) -> tuple[Metric, ...]:
    images = sum(site.images.values())
    return tuple(
        Metric(dataset=site.name, name=name, value=value, lower=lower, upper=upper, images=images)
        for name, (value, lower, upper) in (
            ("auroc", site.auroc),
            *((("accuracy_answered", site.accuracy),) if site.accuracy else ()),
        )
    )


def _card(manifest: ModelManifest, site: Site, trial: Trial) -> str:
    counts = ", ".join(f"{n} {label}" for label, n in site.images.items())
    return "\n".join(
        [
            f"# {manifest.name} {manifest.version}, commissioned at {site.name}",
            "",
            f"**{manifest.intended_use}**",
            "",
            f"Verdict: **{site.verdict}**. {trial.why}",
            "",
            f"- Made from version {site.base_version}, whose card says how it was trained.",
            f"- Change: {site.change}; features: {site.features}.",
            f"- Site: {counts}, of {site.patients} patients, "
            f"{site.commissioned_at:%d %B %Y}. Label table {site.labels_digest}.",
            "- Figures come from patients outside every choice, that of the change included,",
            "  95 % intervals from a bootstrap over patients. They speak of this site alone.",
            "- Findings that the site did not show are not answered.",
            "",
        ]
    )
