"""What is refused, and as what kind of problem."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.errors import ProblemType, ServiceError


@contextmanager
def refused(
    problem: ProblemType, match: str | None = None
) -> Iterator[pytest.ExceptionInfo[ServiceError]]:
    """See that the block is refused, as this kind of problem."""
    with pytest.raises(ServiceError, match=match) as caught:
        yield caught
    assert caught.value.problem is problem
