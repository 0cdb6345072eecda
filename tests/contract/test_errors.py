import http

import pytest

from contract.errors import ContractError, NotAnImage
from service.errors import (
    PROBLEM_TYPES,
    DeadlineExceeded,
    DeviceLost,
    NotReady,
    QueueFull,
    ServiceError,
    ShuttingDown,
    problem_types,
)
from service.problems import describe, error_response
from service.schemas import Problem


def descendants(root: type[Exception]) -> set[type[Exception]]:
    return {each for child in root.__subclasses__() for each in (child, *descendants(child))}


OWN = sorted(descendants(ContractError) | descendants(ServiceError), key=lambda each: each.__name__)


@pytest.mark.parametrize("error", OWN, ids=lambda error: error.__name__)
def test_every_error_of_the_project_is_mapped(error: type[Exception]) -> None:
    assert error in PROBLEM_TYPES


def test_nothing_else_is_mapped() -> None:
    assert set(PROBLEM_TYPES) == set(OWN)


def test_a_slug_means_one_thing() -> None:
    for kind in PROBLEM_TYPES.values():
        assert problem_types()[kind.slug] == kind


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (QueueFull("full", 7), "7"),
        (DeadlineExceeded("late", 3), "3"),
        (NotReady("loading"), "5"),
        (ShuttingDown("stopping"), "5"),
        (DeviceLost("lost"), "60"),
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


@pytest.mark.parametrize("error", [QueueFull("full", 7), NotAnImage("text"), KeyError("secret")])
def test_a_problem_is_written_as_it_is_documented(error: Exception) -> None:
    described = describe(error, "42")

    assert Problem.model_validate(described, strict=True).model_dump() == described
