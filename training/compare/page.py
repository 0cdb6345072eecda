"""comparison.html: the comparison as one page, which needs nothing but itself."""

import base64
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from training.compare.comparison import FIGURES, Comparison
from training.compare.figure import TITLES
from training.metrics import Estimate

TEMPLATE = files(__package__) / "page.html.j2"
MEGABYTE = 1_000_000
ABSENT = "-"


def render_page(comparison: Comparison, picture: bytes) -> str:
    """Put a comparison and its picture into one HTML page; every name in it is escaped.

    Args:
        comparison: What to show.
        picture: The PNG file of ``draw_comparison``.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "interval": interval,
        "megabytes": megabytes,
        "milliseconds": milliseconds,
        "number": number,
    }
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        comparison=comparison,
        figures=FIGURES,
        titles=TITLES,
        picture=base64.b64encode(picture).decode("ascii"),
    )


def interval(figure: Estimate | None) -> str:
    """A figure with its interval."""
    if figure is None:
        return ABSENT
    return f"{figure.value:.3f} ({figure.lower:.3f} to {figure.upper:.3f})"


def megabytes(size: int | None) -> str:
    """A size of a file."""
    return ABSENT if size is None else f"{size / MEGABYTE:.2f}"


def milliseconds(time: float | None) -> str:
    """A time."""
    return ABSENT if time is None else f"{time:.2f}"


def number(count: int | None) -> str:
    """A count, in groups of three digits."""
    return ABSENT if count is None else f"{count:,}"
