"""Writes an answer's body."""

from pydantic import BaseModel
from starlette.responses import Response

JSON = "application/json"


def json_response(body: BaseModel, status: int = 200) -> Response:
    """Answer with a body that is already validated."""
    return Response(body.model_dump_json(), status_code=status, media_type=JSON)
