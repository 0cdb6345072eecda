"""Pages that need nothing but themselves: Jinja templates, and pictures inside them."""

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure


def render(template: str, **content: object) -> str:
    """Fill a template of this package with what the page shows; every name in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": "{:,}".format}
    return environment.get_template(template).render(**content)


def embedded(picture: Path | Figure) -> str:
    """A PNG file, or a figure drawn as one, as a data URI."""
    if isinstance(picture, Figure):
        file = io.BytesIO()
        picture.savefig(file, format="png")
        content = file.getvalue()
    else:
        content = picture.read_bytes()
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
