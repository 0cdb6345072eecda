"""index.html: the exploration as one page, which needs nothing but itself."""

import base64
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from training.explore.gallery import CLUSTER_MEMBERS, Gallery, Picture
from training.explore.measurement import THUMBNAIL_SIDE
from training.explore.report import Exploration

TEMPLATE = files(__package__) / "page.html.j2"
# Of long lists the page shows the beginning; exploration.json has all of it.
LISTED = 50


def render_page(exploration: Exploration, gallery: Gallery) -> str:
    """Put an exploration and its pictures into one HTML page; every name in it is escaped."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "embedded": _embedded,
        "number": "{:,}".format,
        "percent": _percent,
        "tally": _tally,
    }
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        exploration=exploration,
        gallery=gallery,
        listed=LISTED,
        side=THUMBNAIL_SIDE,
        members=CLUSTER_MEMBERS,
    )


def _embedded(picture: Picture) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    return f"data:image/png;base64,{data}"


def _percent(share: float | None) -> str:
    if share is None:
        return "unknown"
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _tally(counts: dict[str, int]) -> str:
    """How often each value occurs; a value that is the only one needs no number."""
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} {count:,}" for value, count in counts.items())
