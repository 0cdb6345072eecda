"""Tables and numbers, as Markdown."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    alignment = ["---", *["---:"] * (len(header) - 1)]
    lines = [header, alignment, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: float | None) -> str:
    """Three significant digits, or a dash where there is nothing."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(values: Sequence[float], middle: float) -> str:
    """A median, and the range that it comes from where there are several values."""
    if len(values) < 2:
        return number(middle)
    return f"{number(middle)} ({number(min(values))}-{number(max(values))})"
