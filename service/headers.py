"""The headers of a request, as ASGI has them, and the media type of most answers."""

from starlette.types import Scope

JSON = "application/json"


def header_of(scope: Scope, name: bytes) -> str | None:
    """The first header of a name, in lower case as ASGI has them; None where there is none."""
    for each, value in scope["headers"]:
        if each == name:
            return str(value, "latin-1")
    return None
