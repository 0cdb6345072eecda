"""Pages that need nothing but themselves: Jinja templates, and pictures inside them."""

import base64
import io
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

STYLE = files(__package__) / "style.css"


def render(package: str, **content: object) -> str:
    """Fill ``page.html.j2`` of a package; every name in it is escaped.

    Args:
        package: Where the template lies.
        **content: What the template shows.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": "{:,}".format}
    template = environment.from_string((files(package) / "page.html.j2").read_text("utf-8"))
    return template.render(style=STYLE.read_text("utf-8"), **content)


def embedded(png: bytes | Figure) -> str:
    """A picture as a data URI."""
    if isinstance(png, Figure):
        file = io.BytesIO()
        png.savefig(file, format="png")
        png = file.getvalue()
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
