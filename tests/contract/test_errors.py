import http

import pytest

from contract.errors import ImageError, NotAnImage
from service.errors import IMAGE_PROBLEMS, DeviceLost, ProblemType, ServiceError
from service.problems import describe, error_response
from service.schemas import Problem

FULL = ServiceError(ProblemType.QUEUE_FULL, "full", 7)


def descendants(root: type[Exception]) -> set[type[Exception]]:
    return {each for child in root.__subclasses__() for each in (child, *descendants(child))}


def test_every_error_of_an_image_is_mapped_and_nothing_else() -> None:
    assert set(IMAGE_PROBLEMS) == {ImageError, *descendants(ImageError)}


def test_a_slug_means_one_thing() -> None:
    assert len({kind.slug for kind in ProblemType}) == len(ProblemType)


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (FULL, "7"),
        (ServiceError(ProblemType.DEADLINE_EXCEEDED, "late", 3), "3"),
        (ServiceError(ProblemType.NOT_READY, "loading"), "5"),
        (ServiceError(ProblemType.SHUTTING_DOWN, "stopping"), "5"),
        (DeviceLost(), "60"),
        (NotAnImage("text"), None),
    ],
)
def test_an_error_that_passes_says_when_to_come_back(
    error: Exception, retry_after: str | None
) -> None:
    assert error_response(error, "42").headers.get("retry-after") == retry_after


def test_an_unmapped_error_says_nothing_of_the_inside() -> None:
    described = describe(KeyError("/srv/models/secret"), "42")

    assert described["status"] == http.HTTPStatus.INTERNAL_SERVER_ERROR
    assert "secret" not in str(described)
    assert described["instance"] == "urn:request:42"


@pytest.mark.parametrize("error", [FULL, NotAnImage("text"), KeyError("secret")])
def test_a_problem_is_written_as_it_is_documented(error: Exception) -> None:
    described = describe(error, "42")

    assert Problem.model_validate(described, strict=True).model_dump() == described
