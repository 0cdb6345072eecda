"""The card of a segmenter, in Markdown.

Source: Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from contract.segmenter import SegmenterManifest

_LIMITS = (
    "Not a medical device. Nobody has shown that using it helps a patient.",
    "It draws something on whatever it is given, also on a picture without lungs.",
)


def segmenter_card(manifest: SegmenterManifest) -> str:
    """The card of one version; every figure on it comes from the manifest."""
    sections = [
        f"# {manifest.name}, version {manifest.version}",
        f"**{manifest.intended_use}** {manifest.summary}",
        "## Facts\n\n" + "\n".join(_facts(manifest)),
        "## Measured\n\n" + "\n".join(_measured(manifest)),
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in (*_LIMITS, *manifest.caveats)),
    ]
    return "\n\n".join(sections) + "\n"


def _facts(manifest: SegmenterManifest) -> list[str]:
    origin, parity = manifest.provenance, manifest.parity
    height, width = manifest.preprocessing.size
    rows = [
        ("Data", origin.dataset),
        ("Licence of the data", origin.licence),
        ("Images", f"{origin.training_images} to train, {origin.validation_images} to validate"),
        ("Input", f"gray, {width} by {height} pixels, uint8"),
        ("Output", "the probability of lung at each pixel, float32"),
        ("Trained", f"{origin.trained_at:%Y-%m-%d}, {origin.framework}, recipe `{origin.recipe}`"),
        ("Git revision", f"`{origin.git_revision}`"),
        ("Data digest", f"`{origin.data_digest}`"),
        (
            "Parity",
            f"ONNX Runtime and Keras differ by at most {parity.max_probability_difference:.1e} at "
            f"any pixel of {parity.images} images",
        ),
        ("Digest", f"`{manifest.digest}`"),
    ]
    if (limits := manifest.lung_field) is not None:
        accepted = (
            f"looked at where `framing` is above {limits.doubt:g}; "
            f"accepted from a completeness of {limits.lower:g}"
        )
        rows.append(("Check `lung_field`", accepted))
    return ["|  |  |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]


def _measured(manifest: SegmenterManifest) -> list[str]:
    rows = [
        f"| {m.dataset} | {m.name} | {m.value:.3f} | {m.lower:.3f} to {m.upper:.3f} | {m.images} |"
        for m in manifest.metrics
    ]
    header = "| Data | Measure | Value | 95 % interval | Images |"
    return [header, "| --- | --- | --- | --- | --- |", *rows]
