"""The headers of a request, as ASGI has them."""

from starlette.types import Scope


def header_of(scope: Scope, name: bytes) -> str | None:
    """The first header of a name; None where there is none.

    A route may ask Starlette's mapping; here are the few that every request is asked for.

    Args:
        scope: Of the request.
        name: In lower case, as ASGI has them all.
    """
    for each, value in scope["headers"]:
        if each == name:
            return str(value, "latin-1")
    return None
