"""The parameters of a prediction: in the query, or as fields of the form beside the files."""

from collections.abc import Iterable
from difflib import get_close_matches

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from service.errors import ProblemType, ServiceError
from service.schemas import PredictQuery

_MAX_NAME = 40
_KNOWN = tuple(PredictQuery.model_fields)


def check_name(name: str) -> None:
    """See that there is a parameter of a name.

    Raises:
        ServiceError: There is none; the nearest is named.
    """
    if name in _KNOWN:
        return
    near = get_close_matches(name[:_MAX_NAME], _KNOWN, 1)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(_KNOWN)}."
    raise ServiceError(
        ProblemType.INVALID_PARAMETER, f"{name[:_MAX_NAME]}: there is no such parameter. {hint}"
    )


def read_parameters(given: Iterable[tuple[str, str]]) -> PredictQuery:
    """Read parameters, wherever they come from.

    Raises:
        ServiceError: There is none of a name, or one has two values.
        RequestValidationError: One has a value that it does not take.
    """
    values: dict[str, str] = {}
    for name, value in given:
        check_name(name)
        if values.setdefault(name, value) != value:
            raise ServiceError(ProblemType.INVALID_PARAMETER, f"{name}: it has two values.")
    try:
        return PredictQuery.model_validate(values)
    except ValidationError as error:
        # One that may be left out takes None as well, of which no client knows.
        told = [each for each in error.errors() if each["type"] != "none_required"]
        raise RequestValidationError([each | {"loc": each["loc"][:1]} for each in told]) from error
