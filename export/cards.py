"""The cards of a model and of a segmenter: what a reader must know before trusting a figure."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from contract.manifest import ModelManifest, SegmenterManifest, SourceEvidence
from contract.quality import MEASURES
from export.quality_graph import OUTPUT
from training.report import tables


def model_card(manifest: ModelManifest, figures: Sequence[str] = ()) -> str:
    """The card of one model version, in Markdown.

    Args:
        manifest: The bundle's manifest; every figure on the card comes from it.
        figures: Paths of PNG files, relative to the card.
    """
    metrics = manifest.metrics
    honesty = tables.of_checks(metrics)
    return _render(
        "model-card.md.j2",
        manifest=manifest,
        figures=figures,
        measures=MEASURES if OUTPUT in manifest.signature.outputs else (),
        measured=[
            (m.dataset, m.name, tables.value(m), tables.interval(m), str(m.images))
            for m in tables.of_all(metrics)
        ],
        breakdowns={
            "By finding": tables.by_class(metrics),
            "By source": tables.by_source(metrics),
            "By source and finding": tables.by_class_and_source(metrics),
        },
        evidence=[_evidence(source) for source in manifest.evidence],
        honesty=honesty,
        honesty_tables=(tables.listed(honesty), tables.coverage_table(honesty)),
        has=lambda prefix: any(metric.name.startswith(prefix) for metric in metrics),
    )


def _evidence(source: SourceEvidence) -> tuple[str, ...]:
    calls = (f"{label} {right} of {n}" for label, (n, right) in source.calls.items() if n)
    return (
        source.name,
        ", ".join(source.findings) or "nothing: referred",
        ", ".join(f"{count} {label}" for label, count in source.images.items() if count),
        _interval(source.auroc),
        f"{source.answered:.0%}",
        _interval(source.accuracy),
        ", ".join(calls) or "none",
    )


def _interval(figure: tuple[float, float, float] | None) -> str:
    return "none" if figure is None else "{:.3f} ({:.3f} to {:.3f})".format(*figure)


def segmenter_card(manifest: SegmenterManifest) -> str:
    """The card of one version of a segmenter; every figure on it comes from the manifest."""
    return _render("segmenter-card.md.j2", manifest=manifest)


def _render(template: str, **values: object) -> str:
    environment = Environment(  # noqa: S701 - Markdown, of this project's own figures
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    environment.globals["table"] = _table
    environment.globals["frame"] = lambda frame: _table([*frame], frame.to_numpy().tolist())
    return environment.get_template(template).render(values)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """A bar would start the next cell."""
    return text.replace("|", "\\|")
