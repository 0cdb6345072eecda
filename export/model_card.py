"""The model card: what a reader must know before trusting a figure.

Source: Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from collections.abc import Iterable, Sequence

from contract.manifest import Metric, ModelManifest


def model_card(manifest: ModelManifest, figures: Sequence[str] = ()) -> str:
    """The card of one model version, in Markdown.

    Args:
        manifest: The bundle's manifest; every figure on the card comes from it.
        figures: Paths of PNG files, relative to the card.
    """
    sections = [
        f"# {manifest.name}, version {manifest.version}",
        f"**{manifest.intended_use}** {manifest.summary}",
        _facts(manifest),
        _findings(manifest),
        _metrics(manifest.metrics),
        *(f"![{_caption(figure)}]({figure})" for figure in figures),
        _limits(manifest.caveats),
    ]
    return "\n\n".join(sections) + "\n"


_LIMITS = """\
## Limits

- Not a medical device. Nobody has shown that using it helps a patient.
- Trained and measured on the data named above alone. A model of this kind loses accuracy on
  another hospital's images, another age group, another scanner; measure it on your own before you
  read anything into it.
- Says nothing of findings that it was not trained on. "Normal" means "none of its findings".
- Answers on anything that it is given, also on a blank or an unrelated picture, and confidently.
- The probability is calibrated on validation images, whose share of disease is not yours."""


def _limits(caveats: Iterable[str]) -> str:
    return "\n".join([_LIMITS, *(f"- {caveat}" for caveat in caveats)])


def _facts(manifest: ModelManifest) -> str:
    origin = manifest.provenance
    height, width = manifest.preprocessing.size
    rows = [
        ("Data", origin.dataset),
        ("Licence of the data", origin.licence),
        ("Images", f"{origin.training_images} to train, {origin.validation_images} to validate"),
        ("Takes", f"{', '.join(manifest.modalities)} of {', '.join(manifest.body_parts)}"),
        ("Input", f"gray, {width} by {height} pixels, uint8"),
        ("Trained", f"{origin.trained_at:%Y-%m-%d}, {origin.framework}, recipe `{origin.recipe}`"),
        ("Git revision", f"`{origin.git_revision}`"),
        ("Data digest", f"`{origin.data_digest}`"),
        ("Temperature", f"{manifest.temperature:.3f}"),
        ("Parity", _parity(manifest)),
        ("Digest", f"`{manifest.digest}`"),
    ]
    return "## Facts\n\n" + _table(("", ""), rows)


def _parity(manifest: ModelManifest) -> str:
    parity = manifest.parity
    return (
        f"ONNX Runtime and Keras differ by at most {parity.max_probability_difference:.1e} "
        f"in probability over {parity.images} images"
    )


def _findings(manifest: ModelManifest) -> str:
    rows = [
        (
            f.label,
            f"{f.code.display} ({f.code.code})",
            f"{f.operating_point:.4f}",
            f.operating_point_rule,
        )
        for f in manifest.findings
    ]
    header = ("Finding", "SNOMED CT", "Operating point", "Chosen by")
    return (
        "## Findings\n\n" + _table(header, rows) + "\n\nAn image that meets none of the operating "
        'points, or more than one, is answered with "refer".'
    )


def _metrics(metrics: Iterable[Metric]) -> str:
    rows = [
        (m.dataset, m.name, f"{m.value:.3f}", f"{m.lower:.3f} to {m.upper:.3f}", str(m.images))
        for m in metrics
    ]
    header = ("Data", "Measure", "Value", "95 % interval", "Images")
    return "## Measured\n\n" + _table(header, rows)


def _caption(figure: str) -> str:
    return figure.rsplit("/", 1)[-1].removesuffix(".png").replace("_", " ").replace("-", " ")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
