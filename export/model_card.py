"""The model card: what a reader must know before trusting a figure.

Source: Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from collections.abc import Iterable, Sequence

from contract.manifest import Metric, ModelManifest, Variant
from export.reporting_items import REPORTING_ITEMS
from training.report import tables


def model_card(manifest: ModelManifest, figures: Sequence[str] = ()) -> str:
    """The card of one model version, in Markdown.

    Args:
        manifest: The bundle's manifest; every figure on the card comes from it.
        figures: Paths of PNG files, relative to the card.
    """
    sections = [
        f"# {manifest.name}, version {manifest.version}",
        f"**{manifest.intended_use}** {manifest.summary}",
        _USE,
        _facts(manifest),
        _findings(manifest),
        *_unanswered(manifest),
        _measured(manifest.metrics),
        *_honesty(manifest.metrics),
        *(f"![{_caption(figure)}]({figure})" for figure in figures),
        _limits(manifest),
        _ETHICS,
        _reporting(manifest),
    ]
    return "\n\n".join(sections) + "\n"


_USE = """\
## Intended use

- For research on reading chest images with a computer, for teaching, and for testing the systems
  around it.
- By people who know what sensitivity, specificity and calibration are, and who have images that
  somebody else has read.
- Not for diagnosis, triage, screening or any decision about a patient, and not for images of other
  body parts, views or modalities than those under Facts."""

_LIMITS = """\
## Limits

- Not a medical device. Nobody has shown that using it helps a patient.
- Trained and measured on the data named above alone. A model of this kind loses accuracy on
  another hospital's images, another age group, another scanner; measure it on your own before you
  read anything into it.
- Says nothing of findings that it was not trained on. "Normal" means "none of its findings"."""

_ANSWERS_ON_ANYTHING = """\
- Answers on anything that it is given, also on a blank or an unrelated picture, and confidently."""

_CALIBRATION = """\
- The probability is calibrated on validation images, whose share of disease is not yours."""

_ETHICS = """\
## Ethics

- The images are of real people. They come from the public data sets under Facts, whose authors
  answer for consent and approval; no image is part of this model's files.
- The figures say nothing of people who are not in those data sets. Whether it does worse for one
  age, sex or origin was not measured, so assume that it does.
- A wrong "normal" can delay a treatment, a wrong finding can start a needless one. A person reads
  every image."""

_HONESTY = """\
A good figure is no proof that a model looks at the lungs. These ask what else it could have looked
at, and how far it carries:"""

_EXPLANATIONS = {
    "source_probe_": (
        "`source_probe`: how well a logistic regression on the network's features names the source "
        "of an image, beside what guessing gives. Within one finding it can read nothing else."
    ),
    "border_only_": (
        "`border_only`: the model sees the outer tenth of each side alone, where hardly any lung "
        "shows. 0.5 is right."
    ),
    "border_pixels_": (
        "`border_pixels`: a logistic regression on those pixels alone: what the border gives away, "
        "whether the network uses it or not."
    ),
    "lungs_": (
        "`lungs_removed`, `lungs_only`: the lungs, or all but the lungs, are covered with gray."
    ),
    "left_out_": (
        "`left_out`: networks trained without the named source, asked of that source. It is what "
        "to expect elsewhere."
    ),
    "conformal_": (
        "Prediction sets: chosen on the validation images to hold the true class for 90 % of new "
        "ones, class by class. An image that a gate stops, or whose set has not exactly one class, "
        "is referred; the error is of the others. A source of fewer than 20 images has no figure."
    ),
    "heatmap_": (
        "`heatmap`: of images that have the finding, the share of the activation inside the lungs, "
        "and how often the strongest place is there (`pointing`), on the whole image and with all "
        "but the lungs covered; `even_map` is what a map without any preference gets. `alike`: how "
        "much of a map stays when the weights of the head, or all, are shuffled; 1 is all of it."
    ),
    "severity_": (
        "`severity`: the rank correlation of the share of the lungs under the map with experts' "
        "scores. Answers carry no severity."
    ),
    "strange_": (
        "`strange`: the share of unfamiliar images of each kind that the out-of-distribution score "
        "catches at the manifest's limit."
    ),
    "under_": (
        "`under_<change>_<level>`: the level of each change at which the AUROC is lowest, out of "
        "those tried."
    ),
}


def _limits(manifest: ModelManifest) -> str:
    guarded = manifest.quality is not None and manifest.out_of_distribution is not None
    lines = [_LIMITS, *([] if guarded else [_ANSWERS_ON_ANYTHING]), _CALIBRATION]
    return "\n".join([*lines, *(f"- {caveat}" for caveat in manifest.caveats)])


def _facts(manifest: ModelManifest) -> str:
    origin = manifest.provenance
    rows = [
        ("Data", origin.dataset),
        ("Licence of the data", origin.licence),
        ("Images", f"{origin.training_images} to train, {origin.validation_images} to validate"),
        ("Takes", f"{', '.join(manifest.modalities)} of {', '.join(manifest.body_parts)}"),
        ("Input", manifest.preprocessing.words),
        ("Trained", f"{origin.trained_at:%Y-%m-%d}, {origin.framework}, recipe `{origin.recipe}`"),
        ("Git revision", f"`{origin.git_revision}`"),
        ("Data digest", f"`{origin.data_digest}`"),
        ("Temperature", f"{manifest.temperature:.3f}"),
        ("Parity", _parity(manifest)),
        ("Digest", f"`{manifest.digest}`"),
        *((variant.precision, _variant(variant)) for variant in manifest.variants),
    ]
    return "## Facts\n\n" + _table(("", ""), rows)


def _variant(variant: Variant) -> str:
    return (
        f"{variant.agreement:.1%} of {variant.images} validation images decided as in fp32; AUROC "
        f"{variant.auroc:.4f}, {variant.auroc_fp32:.4f} in fp32; digest `{variant.digest}`"
    )


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


def _unanswered(manifest: ModelManifest) -> Iterable[str]:
    """The limits beyond which the model does not answer, where it has any."""
    lines = []
    if manifest.quality is not None:
        checks = ", ".join(limit.check for limit in manifest.quality.limits)
        lines.append(f"- Its quality is outside the manifest's limits of: {checks}.")
    if (familiar := manifest.out_of_distribution) is not None:
        lines.append(
            f"- It is unlike the training images: its score ({familiar.method}) is above "
            f"{familiar.limit:.4g}."
        )
    if lines:
        yield "\n".join(["An image is also referred where:", "", *lines])


def _measured(metrics: Sequence[Metric]) -> str:
    rows = [
        (m.dataset, m.name, tables.value(m), tables.interval(m), str(m.images))
        for m in tables.of_all(metrics)
    ]
    header = ("Data", "Measure", "Value", "95 % interval", "Images")
    parts = ["## Measured", _table(header, rows)]
    if any(m.name == "balanced_accuracy" for m in tables.of_all(metrics)):
        parts.append("Both accuracies above are of the most probable finding.")
    breakdowns = {
        "By finding": tables.by_class(metrics),
        "By source": tables.by_source(metrics),
        "By source and finding": tables.by_class_and_source(metrics),
    }
    for title, table in breakdowns.items():
        if table.rows:
            parts += [f"### {title}", _table(table.header, table.rows)]
    if breakdowns["By finding"].rows:
        parts.append(
            '"Refer share" and "Accuracy answered" of a finding are of the images that truly have '
            "it; the others are of that finding against the rest, at its operating point."
        )
    return "\n\n".join(parts)


def _honesty(metrics: Sequence[Metric]) -> Iterable[str]:
    figures = tables.of_checks(metrics)
    if not figures:
        return
    explained = [
        f"- {text}"
        for prefix, text in _EXPLANATIONS.items()
        if any(m.name.startswith(prefix) for m in figures)
    ]
    found = (tables.checks_table(figures), tables.coverage_table(figures))
    yield "\n\n".join(
        [
            "## Honesty checks",
            "\n".join([_HONESTY, "", *explained]),
            *(_table(table.header, table.rows) for table in found if table.rows),
        ]
    )


def _reporting(manifest: ModelManifest) -> str:
    rows = [(item.claim, item.tripod, item.what, item.answer(manifest)) for item in REPORTING_ITEMS]
    return (
        "## Reporting guidelines\n\nWhere this card answers the items of CLAIM 2024 and TRIPOD+AI, "
        "and what was not done.\n\n" + _table(("CLAIM", "TRIPOD+AI", "Item", "Answer"), rows)
    )


def _caption(figure: str) -> str:
    return figure.rsplit("/", 1)[-1].removesuffix(".png").replace("_", " ").replace("-", " ")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """A bar would start the next cell."""
    return text.replace("|", "\\|")
